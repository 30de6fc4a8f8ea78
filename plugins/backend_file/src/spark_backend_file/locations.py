"""What the directory of a backend names: a path of this machine, or a folder of a filesystem that fsspec speaks to."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from spark.hooks import is_cut_short, redact
from spark_backend_file.connection import Connection
from spark_backend_file.directory import GraphDirectory
from spark_backend_file.local_directory import LocalDirectory
from spark_backend_file.remote_directory import RemoteDirectory

GENERIC: Final = "fsspec+"
"""``fsspec+memory://folder`` means ``memory://folder`` where a scheme alone would belong to somebody else."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9_+.-]*(?:://|::)")
_LOCAL: Final = ("file", "local")
_OF_S3: Final = frozenset({"s3", "s3a"})
_READ_ONLY: Final = frozenset({"http", "https"})


def directory_at(directory: str | os.PathLike[str], storage_options: Mapping[str, Any] | None) -> GraphDirectory:
    """Where the checkpoints of this directory are: local paths are written durably, other URLs through fsspec.

    :raises ValueError: it can't be a directory of this backend, or ``storage_options`` come with a local path.
    :raises BackendError: fsspec, or the package of the filesystem, is not installed.
    """
    path = os.fspath(directory)
    if not isinstance(path, str):
        raise TypeError(f"The directory of the file backend is a str or a path, not {type(path).__name__}.")
    path = _without_prefix(path)
    if _is_remote(path):
        return RemoteDirectory(Connection(_checked(path), dict(storage_options or {})))
    if storage_options is not None:
        raise ValueError(
            f"storage_options are for URLs of fsspec, such as sftp://host/folder; {redact(path)!r} is a path of this "
            "machine, which the file backend writes itself. Leave them out."
        )
    return LocalDirectory(_absolute(local_path(path) if _URL.match(path) else _expanded(path)))


def directory_of(url: str) -> str:
    """The directory argument that a URL of the registry stands for.

    :raises ValueError: it is no URL, or a ``file:`` URL that names no absolute path.
    """
    plain = _without_prefix(url)
    return _checked(plain) if _is_remote(plain) else local_path(plain)


def local_path(url: str) -> str:
    """The path that ``file:///path/to/directory`` or ``local:///path/to/directory`` names. A ``~`` at its beginning means the
    user's home, after two slashes or three, and ``%7E`` a folder of that name.

    :raises ValueError: the URL names a host, holds a query, or no absolute path; or it begins with the home of an unknown user.
    """
    parts = urlsplit(url)
    is_of_home = parts.netloc.startswith("~")
    if parts.scheme not in _LOCAL or not (
        is_of_home or (parts.netloc in ("", "localhost") and parts.path.startswith("/"))
    ):
        raise ValueError(
            f"{redact(url)!r} is not a URL of the file backend; write file:///absolute/path, with three slashes, or file://~/path."
        )
    if parts.query or parts.fragment:
        raise ValueError(
            f"{redact(url)!r} holds a query or fragment, which the file backend does not take; pass options by keyword to "
            "FileCheckpointBackend, and write %3F and %23 for ? and # in the path."
        )
    path = unquote(parts.path, errors="strict")
    if is_of_home:
        return _expanded(parts.netloc + path)
    return _expanded(path[1:]) if parts.path.startswith("/~") else path


def _without_prefix(text: str) -> str:
    return text.removeprefix(GENERIC) if _URL.match(text) else text


def _is_remote(text: str) -> bool:
    return bool(_URL.match(text)) and text.partition(":")[0].lower() not in _LOCAL


def _checked(url: str) -> str:
    schemes = {part.partition("://")[0].lower() for part in url.split("::")}
    if "\0" in url:
        raise ValueError(f"The directory of the file backend can't be {redact(url)!r}: it contains a NUL character.")
    if any(is_cut_short(link, ends="@/?#") for link in url.split("::")):
        raise ValueError(
            f"Where the password of {redact(url)!r} ends is not clear; write %40 for @, %2F for /, %3F for ? and %23 for # in it."
        )
    if schemes & _OF_S3:
        raise ValueError(
            f"The file backend does not write to {redact(url)!r}: S3 has a backend of its own, which lets one of two writers "
            "win. pip install 'spark-graphs[s3]', and write backend='s3://bucket/prefix'."
        )
    if schemes & _READ_ONLY:
        raise ValueError(f"The file backend can't write to {redact(url)!r}: fsspec can only read HTTP.")
    return url


def _expanded(path: str) -> str:
    """The path with the home that ``~`` or ``~user`` at its beginning means.

    :raises ValueError: there is no such home.
    """
    expanded = os.path.expanduser(path)
    if path.startswith("~") and expanded == path:
        raise ValueError(
            f"The directory of the file backend can't be {path!r}: there is no home {path.partition('/')[0]!r}. "
            f"Write {'./' + path!r} for a folder of that name."
        )
    return expanded


def _absolute(path: str) -> str:
    if not path or "\0" in path:
        raise ValueError(f"The directory of the file backend can't be {path!r}; name one, for instance 'checkpoints'.")
    # Absolute from now on, whatever the program's working directory becomes.
    return os.path.abspath(path)
