"""What no test may depend on."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_no_example_that_hypothesis_draws_has_to_be_quick() -> None:
    """By default each has 0.2 seconds, and a busy machine takes longer for one of them at times."""
    drawn = [function for path in TESTS.rglob("test_*.py") for function in _drawn(path)]

    assert len(drawn) > 30
    assert [
        f"{path.relative_to(TESTS)}:{line}" for path, line, decorators in drawn if NO_DEADLINE not in decorators
    ] == []


NO_DEADLINE = "deadline=None"


def _drawn(path: Path) -> Iterator[tuple[Path, int, str]]:
    """Each test with ``@given``: its line, and its decorators as text."""
    for found in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators = [ast.unparse(each) for each in found.decorator_list]
            if any(each.startswith("given(") for each in decorators):
                yield path, found.lineno, " ".join(decorators)
