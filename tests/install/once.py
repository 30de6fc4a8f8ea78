"""What is slow to make is made by one test process, and used by all of them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def shared_directory(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all processes of this test run share."""
    own = factory.getbasetemp()
    # pytest-xdist gives each of its workers a folder inside that of the run.
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    folder.mkdir(exist_ok=True)
    return folder


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder that ``make`` fills; who comes while another process fills it waits."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    is_made = folder.with_name(f"{folder.name}.made")
    with _lock(folder.with_name(f"{folder.name}.lock")):
        if not is_made.exists():
            make(folder)
            is_made.touch()
    return folder


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go of when the file is closed, also by a kill
        yield
