"""The suite of executors finds each planted bug, and nothing in a sound one."""

from __future__ import annotations

import pytest

from tests.kit.planted_executors import BUGS
from tests.kit.test_guard import failures_of
from tests.spec.page import ROOT

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Class and test of all failures; of the tests, those that are to find a bug."""
    chosen = " or ".join(BUGS.values())
    folder = tmp_path_factory.mktemp("planted")
    return failures_of(folder, "planted_executors.py", f"-opythonpath={ROOT}", "-k", chosen)


@pytest.mark.parametrize(("kind", "test"), BUGS.items(), ids=[kind.__name__ for kind in BUGS])
def test_a_planted_bug_is_found(failed: set[tuple[str, str]], kind: type, test: str) -> None:
    assert [name for bug, name in failed if bug == kind.__name__ and test in name]


def test_nothing_is_found_in_a_sound_executor(failed: set[tuple[str, str]]) -> None:
    assert [name for bug, name in failed if bug == "PickledExecutor"] == []
