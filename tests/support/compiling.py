"""On a fresh clone, the workers of pytest-xdist compile the tests together, not each of them all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).resolve().parents[1]


def compile_share(asked_for: Sequence[str]) -> None:
    """Import this worker's share of the files before all are collected. Python and pytest keep what they compile on the way, so
    the other workers read it. Every worker collects every test: alone, each would compile all.

    A file that can't be imported is left to be reported where it is collected.

    :param asked_for: the paths that pytest was given; if only a part of the tests is asked for, nothing happens.
    """
    files = sorted(TESTS.rglob("test_*.py"))
    if [Path(each).resolve() for each in asked_for] != [TESTS] or sys.dont_write_bytecode or is_compiled(files[-1]):
        return
    worker, workers = (
        int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")),
        int(os.environ["PYTEST_XDIST_WORKER_COUNT"]),
    )
    for file in files[len(files) * worker // workers : len(files) * (worker + 1) // workers]:
        with suppress(Exception, pytest.skip.Exception, pytest.fail.Exception):
            import_module(".".join(file.relative_to(TESTS.parent).with_suffix("").parts))


def is_compiled(file: Path) -> bool:
    return any(file.parent.glob(f"__pycache__/{file.stem}.{sys.implementation.cache_tag}-pytest-*.pyc"))
