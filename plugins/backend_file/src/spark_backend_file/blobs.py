"""Large values of one graph: each a file in ``blobs/``, written before the record that refers to it is linked.

A name is used once, ever, so a file is written under it directly. One that was not written to its end belongs to a record
that does not exist, and is swept up with other orphans.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from spark_backend_file.names import BLOBS
from spark_backend_file.subfolders import make_subfolder, subfolder
from spark_backend_file.writing import write_fully

_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,100}")
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


def remove_blobs(folder: int, names: Sequence[str]) -> None:
    """Remove those that are there. One that is back after a power failure is an orphan, and removed again."""
    with suppress(FileNotFoundError), subfolder(folder, BLOBS) as place:
        for name in names:
            with suppress(FileNotFoundError):
                os.unlink(_file(name), dir_fd=place)


def blob_names(folder: int) -> list[str]:
    """The names of all."""
    try:
        with subfolder(folder, BLOBS) as place:
            return [name.removesuffix(_ENDING) for name in os.listdir(place) if name.endswith(_ENDING)]
    except FileNotFoundError:
        return []


def _write(place: int, name: str, content: bytes) -> None:
    file = _create(place, name)
    try:
        write_fully(file, content)
        os.fsync(file)
    finally:
        os.close(file)


def _create(place: int, name: str) -> int:
    try:
        return os.open(name, _CREATE, 0o600, dir_fd=place)
    except FileExistsError:
        # The same value of the same record, tried again: what was written of it is not trusted.
        os.unlink(name, dir_fd=place)
        return os.open(name, _CREATE, 0o600, dir_fd=place)


def _read(place: int, name: str) -> bytes:
    with open(os.open(name, _READ, dir_fd=place), "rb") as file:
        return file.read()


def _file(name: str) -> str:
    # Names come from records, and so from whoever may write in the directory: none may lead out of it.
    if not _NAME.fullmatch(name):
        raise FileNotFoundError(name)
    return name + _ENDING
