"""The folders within a graph's folder, opened in a way that a link put in their place is not followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_subfolder(folder: int, name: str) -> None:
    """Durably make a folder within the graph's, unless it is there.

    :param folder: a descriptor of the graph's folder.
    """
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
        os.fsync(folder)


@contextmanager
def subfolder(folder: int, name: str) -> Iterator[int]:
    """A descriptor of a folder within the graph's.

    :raises FileNotFoundError: there is none.
    """
    opened = os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield opened
    finally:
        os.close(opened)
