"""The tests of the kit can't be dropped, skipped or missed, and its pytest plugin costs nothing when unused."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spark_testing
from spark_testing import CheckpointBackendConformance, TriggerConformance

BAD_SUITES = """
import pytest
from spark.graphs.checkpoint import EveryIterations, InMemoryCheckpointBackend
from spark_testing import CheckpointBackendConformance, TriggerConformance, make_boundary

class Lost(TriggerConformance):
    due, not_due = (make_boundary(2),), (make_boundary(1),)

class Given(TriggerConformance):
    due, not_due = (make_boundary(2),), (make_boundary(1),)

@pytest.mark.skipif(True, reason="later")
class TestExcused(Given):
    @pytest.fixture
    def trigger(self):
        return EveryIterations(2)

class TestSkipped(Given):
    @pytest.fixture
    def trigger(self):
        pytest.skip("no server")

class TestFine(Given):
    @pytest.fixture
    def trigger(self):
        return EveryIterations(2)

class TestForgetful(CheckpointBackendConformance):
    capabilities = set()
    @pytest.fixture
    def backend(self):
        return InMemoryCheckpointBackend()
"""

BEFORE = "from spark_testing import CheckpointBackendConformance, TriggerConformance\n"
BROKEN_MODULES = {
    "an import that fails": (f"import not_installed_here\n{BEFORE}", "No module named 'not_installed_here'"),
    "an error below a suite": (
        f"{BEFORE}class TestMine(CheckpointBackendConformance):\n    capabilities = ()\n\nraise RuntimeError('too late')",
        "RuntimeError: too late",
    ),
    "a suite that declares nothing": (
        f"{BEFORE}class TestMine(CheckpointBackendConformance):\n    pass",
        "TestMine declares no capabilities",
    ),
    "a suite that replaces a test": (
        f"{BEFORE}class TestMine(CheckpointBackendConformance):\n    capabilities = ()\n    test_closing_twice_is_fine = None",
        "TestMine redefines test_closing_twice_is_fine",
    ),
    "no syntax": (f"{BEFORE}class TestMine(", "SyntaxError"),
}

UNUSED = """
import sys

def test_nothing_of_ours_is_loaded():
    loaded = {name for name in sys.modules if name.partition(".")[0] in ("spark", "spark_testing")}
    assert loaded == {"spark_testing", "spark_testing.pytest_plugin"}
"""

WITHOUT = [f"-pno:{plugin}" for plugin in ("cacheprovider", "xdist", "hypothesispytest")]


def run_pytest(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_theirs.py").write_text(code)
    return subprocess.run(
        # Hypothesis takes as long to be imported as all the rest, and they don't use it.
        [sys.executable, "-m", "pytest", "-q", *WITHOUT, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
    )


def failures_of(folder: Path, planted: str, *arguments: str) -> set[tuple[str, str]]:
    """Class, without its ``Test``, and test of all that fails in a file of planted suites that stands beside this one."""
    suites = Path(__file__).with_name(planted).read_text()
    done = run_pytest(folder, suites, "-oasyncio_mode=auto", "--tb=no", "-rfE", *arguments)
    return {(kind, test) for kind, test in re.findall(r"^(?:FAILED|ERROR) \S+::Test(\w+)::(\w+)", done.stdout, re.M)}


@pytest.mark.thorough
def test_where_no_test_uses_the_kit_nothing_of_ours_is_imported(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, UNUSED)

    assert done.returncode == 0, done.stdout


def test_suites_that_prove_less_than_they_seem_to_fail_the_run(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, BAD_SUITES, "--tb=line", "-k", "not TestForgetful or large_values_if")

    assert done.returncode == 1
    assert "not one test of test_theirs.Lost was collected" in done.stdout
    assert "TestExcused::test_remembers_nothing is marked skipif" in done.stdout
    assert "TestSkipped::test_remembers_nothing was skipped" in done.stdout
    assert "TestForgetful does not declare 'keeps_blobs'" in done.stdout
    assert "TestFine" not in done.stdout
    assert "Given was collected" not in done.stdout


@pytest.mark.thorough
def test_modules_that_can_not_be_imported_are_shown_as_that_and_nothing_else(tmp_path: Path) -> None:
    """Beside one that can, whose tests are collected."""
    (tmp_path / "test_fine.py").write_text(BAD_SUITES)
    for number, (code, _) in enumerate(BROKEN_MODULES.values()):
        (tmp_path / f"test_broken_{number}.py").write_text(code)

    done = run_pytest(tmp_path, BROKEN_MODULES["an import that fails"][0], "--tb=short", "--collect-only")

    shown = done.stdout + done.stderr
    assert "INTERNALERROR" not in shown
    for number, (_, said) in enumerate(BROKEN_MODULES.values()):
        _, _, traceback = shown.partition(f"_ ERROR collecting test_broken_{number}.py _")
        assert said in traceback.partition("_ ERROR collecting")[0]
        assert f"ERROR test_broken_{number}.py" in shown
    assert "ERROR test_theirs.py" in shown
    assert "TestMine was collected" not in shown
    assert "test_fine.py::TestFine" in shown


@pytest.mark.thorough
def test_a_suite_whose_tests_were_all_asked_for_by_name_is_not_missed(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, BAD_SUITES, "test_theirs.py::TestFine")

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("replacement", [None, lambda self: None])
def test_a_base_test_can_not_be_replaced(replacement: object) -> None:
    with pytest.raises(TypeError, match="redefines test_any_id_is_only_a_name"):
        type(
            "TestMine",
            (CheckpointBackendConformance,),
            {"capabilities": (), "test_any_id_is_only_a_name": replacement},
        )


@pytest.mark.parametrize("capabilities", [None, "persistent", ("persistant",), ("concurrent_processes",)])
def test_capabilities_are_declared_and_spelt_right(capabilities: object) -> None:
    with pytest.raises(TypeError, match="capabilities"):
        type("TestMine", (CheckpointBackendConformance,), {"capabilities": capabilities})


def test_a_trigger_suite_says_where_it_is_due() -> None:
    with pytest.raises(TypeError, match="needs due and not_due"):
        type("TestMine", (TriggerConformance,), {})


def test_each_check_of_the_kit_says_in_words_what_broke() -> None:
    """What it shows of values is pytest's; an author has to read which promise that breaks."""
    bare = [
        f"{file.name}:{check.lineno}"
        for file in Path(spark_testing.__file__).parent.rglob("*.py")
        if "templates" not in file.parts  # tests of a project's own
        for check in ast.walk(ast.parse(file.read_text()))
        if isinstance(check, ast.Assert) and check.msg is None
    ]

    assert bare == []


@pytest.mark.thorough
def test_a_failing_check_shows_the_promise_and_what_came_back(tmp_path: Path) -> None:
    code = """
import pytest
from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark_testing import CheckpointBackendConformance

class Keeps(InMemoryCheckpointBackend):
    async def delete(self, graph_id, sequence):
        return True

class TestKeeps(CheckpointBackendConformance):
    capabilities = ()

    @pytest.fixture
    def backend(self):
        return Keeps()

    @pytest.fixture
    def read_raw(self, backend):
        return lambda graph_id, sequence: None
"""
    done = run_pytest(tmp_path, code, "-k", "test_deletes_one_record")

    assert "AssertionError: A record was deleted, and get() still gives it." in done.stdout
    assert "assert Record(RecordHeader(checkpoint_id='ckpt_g_000002'" in done.stdout
