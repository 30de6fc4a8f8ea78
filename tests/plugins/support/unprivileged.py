"""What a user may do who is not root, for tests of stores that are read-only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_NOBODY: Final = 65534


@contextmanager
def somebody_else() -> Iterator[None]:
    """Within it, this process may do what any user may; root could write whatever the modes say."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def ourselves() -> Iterator[None]:
    """Within it, and within ``somebody_else``, this process may do again what it could before."""
    others = os.geteuid()
    os.seteuid(os.getuid())
    try:
        yield
    finally:
        os.seteuid(others)


def for_everybody(folder: Path) -> Path:
    """The folder, which everybody can get to from now on."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.geteuid() and not each.stat().st_mode & stat.S_IXOTH:
            each.chmod(each.stat().st_mode | 0o755)
    return folder
