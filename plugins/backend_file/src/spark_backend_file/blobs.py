"""Large values of one graph: each a file in ``blobs/``, written before the record that refers to it is linked.

A name is used once, ever, so a file is written under it directly. One that was not written to its end belongs to a record
that does not exist, and is swept up with other orphans.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from errno import EISDIR
from stat import S_ISREG
from typing import Final

from spark.graphs.checkpoint.storage import is_blob_name
from spark_backend_file.names import BLOBS
from spark_backend_file.subfolders import make_subfolder, subfolder
from spark_backend_file.unlinking import Release, unlink
from spark_backend_file.writing import write_fully

_ENDING: Final = ".blob"
# O_NONBLOCK, so that a pipe put in the place of a value is found out instead of waited for.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def add_blobs(folder: int, blobs: Mapping[str, bytes]) -> None:
    """Store large values durably.

    :param folder: a descriptor of the graph's folder.
    """
    make_subfolder(folder, BLOBS)
    with subfolder(folder, BLOBS) as place:
        for name, content in blobs.items():
            _write(place, _file(name), content)
        os.fsync(place)


def read_blobs(folder: int, names: Sequence[str]) -> dict[str, bytes]:
    """Name to content of those that are there."""
    found = {}
    with suppress(FileNotFoundError), subfolder(folder, BLOBS) as place:
        for name in names:
            with suppress(FileNotFoundError):
                found[name] = _read(place, _file(name))
    return found


def remove_blobs(folder: int, names: Sequence[str], release: Release | None = None) -> None:
    """Remove those that are there. One that is back after a power failure is an orphan, and removed again.

    :param release: see ``unlink``.
    """
    with suppress(FileNotFoundError), subfolder(folder, BLOBS) as place:
        for name in names:
            with suppress(FileNotFoundError):
                unlink(_file(name), place, release)


def blob_names(folder: int) -> list[str]:
    """The names of all."""
    try:
        with subfolder(folder, BLOBS) as place:
            return [name.removesuffix(_ENDING) for name in os.listdir(place) if name.endswith(_ENDING)]
    except FileNotFoundError:
        return []


def _write(place: int, name: str, content: bytes) -> None:
    try:
        file = os.open(name, _CREATE, 0o600, dir_fd=place)
    except FileExistsError:
        # The same value, tried again. If it is whole, records may refer to it, which must not miss it for a moment.
        if _keep(place, name, content):
            return
        os.unlink(name, dir_fd=place)
        file = os.open(name, _CREATE, 0o600, dir_fd=place)
    try:
        write_fully(file, content)
        os.fsync(file)
    finally:
        os.close(file)


def _keep(place: int, name: str, content: bytes) -> bool:
    """Whether the file holds this, and durably so."""
    with open(os.open(name, _READ, dir_fd=place), "rb") as file:
        is_whole = os.fstat(file.fileno()).st_size == len(content) and file.read() == content
        if is_whole:
            os.fsync(file.fileno())
        return is_whole


def _read(place: int, name: str) -> bytes:
    with open(os.open(name, _READ, dir_fd=place), "rb") as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(EISDIR, "Not a regular file", name)
        return file.read()


def _file(name: str) -> str:
    # Names come from records, and so from whoever may write in the directory: none may lead out of it.
    if not is_blob_name(name):
        raise FileNotFoundError(name)
    return name + _ENDING
