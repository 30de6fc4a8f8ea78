"""No code block of the page goes untested, and no heading goes missing."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from tests.spec import page

HERE = Path(__file__).parent

Claim = tuple[str, str, int]


def test_every_block_is_claimed_by_exactly_one_test() -> None:
    """A block that is added to the page must not be forgotten."""
    claims = Counter(claim for section in sections() for claim in claims_of(section))

    assert claims == Counter((block.section, block.heading, block.number) for block in page.blocks())


def test_every_heading_has_its_test_file() -> None:
    files = {path.name for path in HERE.glob("test_*.py")}

    assert {page.file_name(section) for section in sections()} <= files


def test_the_page_is_complete() -> None:
    """The counts of the page as it was specified: shorter means that somebody cut it."""
    assert len(page.headings(2)) == 14
    assert len(page.headings(3)) == 33
    assert len(page.blocks()) == 35


def test_every_row_of_what_the_page_leaves_open_has_a_test() -> None:
    docstrings = [ast.get_docstring(test) or "" for test in named_tests("test_resolutions_*.py")]

    rows = {int(row[1]) for text in docstrings if (row := re.match(r"Row (\d+)\b", text))}
    assert rows == set(range(1, 35))


def test_no_block_is_skipped() -> None:
    skipped = [
        (file.name, decorator.lineno)
        for file in HERE.glob("test_*.py")
        for function in functions(file)
        for decorator in marks(function, "skip", "skipif")
    ]

    assert skipped == []


def sections() -> list[str]:
    return [heading for heading in page.headings(2) if heading != "Next Steps"]


def claims_of(section: str) -> list[Claim]:
    file = HERE / page.file_name(section)
    return [claim_of(section, mark) for function in functions(file) for mark in marks(function, "block")]


def claim_of(section: str, mark: ast.expr) -> Claim:
    assert isinstance(mark, ast.Call)
    heading, *number = [ast.literal_eval(argument) for argument in mark.args]
    return section, heading, number[0] if number else 1


def named_tests(pattern: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    found = [function for file in HERE.glob(pattern) for function in functions(file)]
    return [function for function in found if function.name.startswith("test_")]


def functions(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def marks(function: ast.FunctionDef | ast.AsyncFunctionDef, *names: str) -> list[ast.expr]:
    return [mark for mark in function.decorator_list if ast.unparse(mark).partition("(")[0] in prefixed(names)]


def prefixed(names: tuple[str, ...]) -> set[str]:
    return {f"pytest.mark.{name}" for name in names}
