"""The suites of types and of serializers find each planted bug, and nothing in sound ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kit import planted_serializers, planted_types
from tests.kit.test_guard import run_pytest

pytestmark = pytest.mark.thorough

MODULES = {"types": planted_types, "serializers": planted_serializers}
BUGS = [(kind, *bug) for kind, module in MODULES.items() for bug in module.BUGS.items()]
SOUND = [(kind, name) for kind, module in MODULES.items() for name in module.SOUND]


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[str, str]]]:
    """By kind, suite and test of all failures."""
    found = {}
    for kind in MODULES:
        suites = Path(__file__).with_name(f"planted_{kind}.py").read_text()
        done = run_pytest(tmp_path_factory.mktemp(kind), suites, "-oasyncio_mode=auto", "--tb=no", "-rfE")
        found[kind] = set(re.findall(r"^(?:FAILED|ERROR) \S+::Test(\w+)::(\w+)", done.stdout, re.M))
    return found


@pytest.mark.parametrize(("kind", "bug", "test"), BUGS, ids=[bug for _, bug, _ in BUGS])
def test_a_planted_bug_is_found(failed: dict[str, set[tuple[str, str]]], kind: str, bug: str, test: str) -> None:
    assert [name for suite, name in failed[kind] if suite == bug and test in name]


@pytest.mark.parametrize(("kind", "sound"), SOUND)
def test_nothing_is_found_in_a_sound_one(failed: dict[str, set[tuple[str, str]]], kind: str, sound: str) -> None:
    assert [name for suite, name in failed[kind] if suite == sound] == []
