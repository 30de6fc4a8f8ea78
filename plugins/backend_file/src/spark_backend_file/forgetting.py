"""Removing all that the backend keeps in the folder of a graph. Every function here blocks.

Records go first, and durably: none is ever there whose large values are not. What tells which sequences were used goes last:
until then nobody can use one again, and what was stopped on the way is done by beginning anew.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from spark_backend_file.floor import raise_floor
from spark_backend_file.names import ALIASES, BLOBS, FLOOR, record_name
from spark_backend_file.subfolders import subfolder
from spark_backend_file.temporaries import PREFIX


def empty_folder(folder: int, sequences: Sequence[int], deleted: list[int]) -> None:
    """Leave nothing of a graph in its folder.

    :param folder: a descriptor of it.
    :param sequences: of its records.
    :param deleted: takes the sequences of those that were there, as they go.
    """
    if sequences:
        raise_floor(folder, max(sequences), durable=True)
    for sequence in sequences:
        if _remove(record_name(sequence), folder):
            deleted.append(sequence)  # noqa: PERF401 - those before an error are gone as well
    os.fsync(folder)
    for name in (ALIASES, BLOBS):
        with suppress(FileNotFoundError):
            _remove_subfolder(name, folder)
    for name in os.listdir(folder):
        if name.startswith(PREFIX):
            _remove(name, folder)
    _remove(FLOOR, folder)


def _remove_subfolder(name: str, folder: int) -> None:
    with subfolder(folder, name) as inside:
        for each in os.listdir(inside):
            _remove(each, inside)
    os.rmdir(name, dir_fd=folder)


def _remove(name: str, folder: int) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    except (IsADirectoryError, PermissionError):  # the system's word for a folder in the place of a file
        os.rmdir(name, dir_fd=folder)
    return True
