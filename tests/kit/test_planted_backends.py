"""The suite finds bugs that were planted in backends."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kit import planted_asking, planted_backends, planted_stores
from tests.kit.test_guard import run_pytest
from tests.support.variants import first_of

SOUND = ("Shared", "WithBlobs", "Inherits")
BUGS = {
    kind.__name__: kind.found_by
    for module in (planted_asking, planted_backends, planted_stores)
    for kind in vars(module).values()
    if hasattr(kind, "found_by")
}
ALL = (*BUGS.values(), "test_a_graph_resumes_where_it_stopped")
ASKED_FOR = """
TESTS = {tests!r}

def pytest_pycollect_makeitem(collector, name):
    is_test = name.startswith("test_") and not name.startswith(TESTS.get(collector.name, ()))
    return [] if is_test and collector.name.startswith("Test") else None
"""
"""A conftest.py that has only these tests of each class collected: all would be thirty times as many."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says when each planted bug meets the test that finds it, and a backend without a bug meets all of these."""
    tests = {f"Test{bug}": (test,) for bug, test in BUGS.items()} | {f"Test{SOUND[0]}": ALL}
    return report_on(tests, tmp_path_factory.mktemp("planted"))


def report_on(tests: dict[str, tuple[str, ...]], folder: Path) -> str:
    """What pytest says of these tests of each class, and of none of the others."""
    for module in (planted_asking, planted_backends, planted_stores):
        shutil.copy(module.__file__, folder)
    suites = Path(__file__).with_name("planted_suites.py").read_text()
    (folder / "conftest.py").write_text(ASKED_FOR.format(tests=tests))
    return run_pytest(folder, suites, "-oasyncio_mode=auto", "--tb=no", "-rfp").stdout


def test_each_planted_bug_is_found(report: str) -> None:
    """All of them in one test: they share the report, and so it is made once, and not in each process of pytest-xdist."""
    failed = {f"FAILED test_theirs.py::Test{bug}::{test}" for bug, test in BUGS.items()}

    assert [each for each in sorted(failed) if each not in report] == []


@pytest.mark.parametrize("sound", first_of(SOUND))
def test_a_backend_without_a_bug_is_not_blamed(report: str, sound: str, tmp_path: Path) -> None:
    said = report if sound == SOUND[0] else report_on({f"Test{sound}": ALL}, tmp_path)

    for test in ALL:
        assert f"PASSED test_theirs.py::Test{sound}::{test}" in said
    assert f"FAILED test_theirs.py::Test{sound}" not in said
