"""Removing a file so that nobody waits for the disk.

A file without a name keeps its space until it is closed. Where the disk is told of each block that becomes free (``discard``),
giving it back takes about as long as a write, so whoever removes a file need not be who closes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeAlias

Release: TypeAlias = Callable[[int], None]
"""Closes a file, now or later, in this thread or another; it does not raise."""

# O_NONBLOCK, so that a pipe put in the place of a file is not waited for.
_HOLD: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def unlink(name: str, folder: int, release: Release | None = None) -> bool:
    """Remove a file; False when there is none.

    :param folder: a descriptor of the folder that it is in.
    :param release: gives back its space. None does that here, and waits for it.
    """
    try:
        if release is None:
            os.unlink(name, dir_fd=folder)
            return True
        file = os.open(name, _HOLD, dir_fd=folder)
        try:
            os.unlink(name, dir_fd=folder)
        finally:
            release(file)
    except FileNotFoundError:
        return False
    return True
