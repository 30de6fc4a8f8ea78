"""The suite finds bugs that were planted in backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import planted_backends
from tests.kit.test_guard import run_pytest

BUGS = {kind.__name__: kind.found_by for kind in vars(planted_backends).values() if hasattr(kind, "found_by")}


HURRY = """
from spark_testing import leaks
leaks.PATIENCE = 0.1
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says when each planted bug meets the test that finds it, and a backend without a bug all of these."""
    code = Path(__file__).with_name("planted_backends.py").read_text() + HURRY
    tests = " or ".join(sorted(set(BUGS.values())))
    chosen = " or ".join([f"(TestShared and ({tests}))", *(f"(Test{bug} and {test})" for bug, test in BUGS.items())])
    folder = tmp_path_factory.mktemp("planted")
    return run_pytest(folder, code, "-oasyncio_mode=auto", "--tb=no", "-rfp", "-k", chosen).stdout


@pytest.mark.parametrize(("bug", "test"), BUGS.items())
def test_a_planted_bug_is_found(report: str, bug: str, test: str) -> None:
    assert f"FAILED test_theirs.py::Test{bug}::{test}" in report


def test_a_backend_without_a_bug_is_not_blamed(report: str) -> None:
    for test in BUGS.values():
        assert f"PASSED test_theirs.py::TestShared::{test}" in report
    assert "FAILED test_theirs.py::TestShared" not in report
