"""The suites find bugs that were planted in formats and codecs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kit import planted_formats
from tests.kit.test_guard import run_pytest

pytestmark = pytest.mark.thorough

SOUND = ("SoundFormat", "SoundCodec")
BUGS = {kind.__name__: kind.found_by for kind in vars(planted_formats).values() if hasattr(kind, "found_by")}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says when each planted bug meets the test that finds it, and what is sound meets all of them."""
    folder = tmp_path_factory.mktemp("planted")
    shutil.copy(planted_formats.__file__, folder)
    suites = Path(__file__).with_name("planted_format_suites.py").read_text()
    chosen = [f"(Test{bug} and {test})" for bug, test in BUGS.items()] + [f"Test{sound}" for sound in SOUND]
    return run_pytest(folder, suites, "-oasyncio_mode=auto", "--tb=no", "-rfp", "-k", " or ".join(chosen)).stdout


@pytest.mark.parametrize(("bug", "test"), BUGS.items())
def test_a_planted_bug_is_found(report: str, bug: str, test: str) -> None:
    assert f"FAILED test_theirs.py::Test{bug}::{test}" in report


@pytest.mark.parametrize("sound", SOUND)
def test_what_is_sound_is_not_blamed(report: str, sound: str) -> None:
    assert f"PASSED test_theirs.py::Test{sound}::" in report
    assert f"FAILED test_theirs.py::Test{sound}" not in report
