"""What lies beside the records in the folder of a graph: large values in ``blobs/``, and ids given by hand in ``ids/``.

Folders are given as descriptors, and a link put in the place of a file or folder is not followed. Every function here blocks.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from errno import EISDIR
from stat import S_ISREG
from typing import Final

from spark.graphs.checkpoint.storage import is_blob_name
from spark_backend_file.names import ALIASES, BLOBS, alias_name, quote, record_name, split_alias
from spark_backend_file.threads import CloseFile

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK, so that a pipe put in the place of a file is found out instead of waited for.
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_BLOB_ENDING: Final = ".blob"


# Large values. A name is used once, ever, so a file is written under it directly, before the record that refers to it is
# linked. One that was not written to its end belongs to a record that does not exist, and is removed with other orphans.


def write_blobs(folder: int, blobs: Mapping[str, bytes]) -> None:
    """Store large values durably."""
    _make_subfolder(folder, BLOBS)
    with _subfolder(folder, BLOBS) as place:
        for name, content in blobs.items():
            _write_blob(place, _blob_file(name), content)
        os.fsync(place)


def read_blobs(folder: int, names: Sequence[str]) -> dict[str, bytes]:
    """Name to content of those that are there."""
    found = {}
    with suppress(FileNotFoundError), _subfolder(folder, BLOBS) as place:
        for name in names:
            with suppress(FileNotFoundError):
                found[name] = _read_blob(place, _blob_file(name))
    return found


def delete_blobs(folder: int, names: Sequence[str], *, close_file: CloseFile | None = None) -> None:
    """Remove those that are there. One that is back after a power failure is an orphan, and removed again.

    :param close_file: see ``unlink``.
    """
    with suppress(FileNotFoundError), _subfolder(folder, BLOBS) as place:
        for name in names:
            with suppress(FileNotFoundError):
                unlink(_blob_file(name), place, close_file=close_file)


def list_blobs(folder: int) -> list[str]:
    """The names of all."""
    return [
        name.removesuffix(_BLOB_ENDING) for name in _names_in_subfolder(folder, BLOBS) if name.endswith(_BLOB_ENDING)
    ]


def blob_bytes(folder: int) -> int:
    """How many bytes all take up."""
    size = 0
    with suppress(FileNotFoundError), _subfolder(folder, BLOBS) as place, os.scandir(place) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # removed meanwhile
                if entry.name.endswith(_BLOB_ENDING):
                    size += entry.stat(follow_symlinks=False).st_size
    return size


def _write_blob(place: int, name: str, content: bytes) -> None:
    try:
        file = os.open(name, CREATE, 0o600, dir_fd=place)
    except FileExistsError:
        # The same value, tried again. If it is whole, records may refer to it, which must not miss it for a moment.
        if _is_durable(place, name, content):
            return
        os.unlink(name, dir_fd=place)
        file = os.open(name, CREATE, 0o600, dir_fd=place)
    try:
        write_fully(file, content)
        os.fsync(file)
    finally:
        os.close(file)


def _is_durable(place: int, name: str, content: bytes) -> bool:
    """Whether the file holds this content, and from now on durably."""
    with open(os.open(name, READ, dir_fd=place), "rb") as file:
        is_whole = os.fstat(file.fileno()).st_size == len(content) and file.read() == content
        if is_whole:
            os.fsync(file.fileno())
        return is_whole


def _read_blob(place: int, name: str) -> bytes:
    with open(os.open(name, READ, dir_fd=place), "rb") as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(EISDIR, "Not a regular file", name)
        return file.read()


def _blob_file(name: str) -> str:
    # Names come from records, and so from whoever may write in the directory: none may lead out of it.
    if not is_blob_name(name):
        raise FileNotFoundError(name)
    return name + _BLOB_ENDING


# Ids given by hand: for each record a symbolic link that carries its id and its sequence. An alias is a hint. It is made before
# its record, so that the record appears with its id in one act; whether it is true, the record's header says. So what a
# dead or defeated writer leaves behind means nothing.


def write_alias(folder: int, checkpoint_id: str, sequence: int) -> None:
    """Durably say that the record to come has this id."""
    _make_subfolder(folder, ALIASES)
    with _subfolder(folder, ALIASES) as ids:
        # One that exists was left by a writer of the same id and sequence, and says the same.
        with suppress(FileExistsError):
            os.symlink(f"../{record_name(sequence)}", alias_name(quote(checkpoint_id), sequence), dir_fd=ids)
        os.fsync(ids)


def read_aliases(folder: int) -> list[tuple[str, int]]:
    """Quoted id and sequence of every alias."""
    return [alias for alias in map(split_alias, _names_in_subfolder(folder, ALIASES)) if alias]


def delete_aliases(folder: int, sequences: Collection[int]) -> None:
    """Remove every alias of these records, which are deleted."""
    with suppress(FileNotFoundError), _subfolder(folder, ALIASES) as ids:
        for name in os.listdir(ids):
            alias = split_alias(name)
            if alias and alias[1] in sequences:
                unlink(name, ids)


# Of both.


def delete_beside(folder: int) -> None:
    """Remove both folders, and whatever is in them."""
    for name in (ALIASES, BLOBS):
        with suppress(FileNotFoundError):
            with _subfolder(folder, name) as inside:
                for each in os.listdir(inside):
                    remove_entry(each, inside)
            os.rmdir(name, dir_fd=folder)


def names_in(folder: int) -> list[str]:
    """What is in a folder; nothing, when it was deleted after it was opened."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def make_durable(path: str) -> None:
    """Make the entries of a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_fully(file: int, content: bytes) -> None:
    """Write everything, in as many calls as the system wants."""
    written = os.write(file, content)
    while written < len(content):
        written += os.write(file, memoryview(content)[written:])


def unlink(name: str, folder: int, *, close_file: CloseFile | None = None) -> bool:
    """Remove a file; False when there is none.

    A file without a name keeps its space until it is closed. Where the disk is told of each block that becomes free
    (``discard``), giving it back takes about as long as a write, so whoever removes a file need not be who closes it.

    :param close_file: gives back its space. None does that here, and waits for it.
    """
    try:
        if close_file is None:
            os.unlink(name, dir_fd=folder)
            return True
        file = os.open(name, READ, dir_fd=folder)
        try:
            os.unlink(name, dir_fd=folder)
        finally:
            close_file(file)
    except FileNotFoundError:
        return False
    return True


def remove_entry(name: str, folder: int) -> bool:
    """Remove a file, or an empty folder in its place; False when there is none."""
    try:
        return unlink(name, folder)
    except (IsADirectoryError, PermissionError):  # the system's word for a folder in the place of a file
        os.rmdir(name, dir_fd=folder)
    return True


def _make_subfolder(folder: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
        os.fsync(folder)


@contextmanager
def _subfolder(folder: int, name: str) -> Iterator[int]:
    opened = os.open(name, FOLDER, dir_fd=folder)
    try:
        yield opened
    finally:
        os.close(opened)


def _names_in_subfolder(folder: int, name: str) -> list[str]:
    try:
        with _subfolder(folder, name) as inside:
            return os.listdir(inside)
    except FileNotFoundError:
        return []
