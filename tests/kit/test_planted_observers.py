"""The suite of observers finds each planted bug, and nothing in sound ones."""

from __future__ import annotations

import pytest

from tests.kit.planted_observers import BUGS, SOUND
from tests.kit.test_guard import failures_of

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Class and test of all failures."""
    return failures_of(tmp_path_factory.mktemp("planted"), "planted_observers.py")


@pytest.mark.parametrize(("kind", "test"), BUGS.items(), ids=[kind.__name__ for kind in BUGS])
def test_a_planted_bug_is_found(failed: set[tuple[str, str]], kind: type, test: str) -> None:
    assert [name for bug, name in failed if bug == kind.__name__ and test in name]


@pytest.mark.parametrize("kind", SOUND)
def test_nothing_is_found_in_a_sound_observer(failed: set[tuple[str, str]], kind: type) -> None:
    assert [name for bug, name in failed if bug == kind.__name__] == []
