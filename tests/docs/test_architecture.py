"""docs/architecture.md leads through the code by files and names: each file exists, and has the names that stand beside it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.spec.page import ROOT, blocks

PAGE = ROOT / "docs" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
FOLDERS = [
    ROOT / "core" / "src" / "spark" / "graphs",
    ROOT / "core" / "src" / "spark",
    *sorted((ROOT / "plugins").glob("*/src")),
]
"""Where the short paths of the page begin."""

_ROW = re.compile(r"^\|[^|]+\|(?P<files>[^|]*\.py`[^|]*)\|(?P<names>[^|]+)\|$", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")
_FILE = re.compile(r"`((?:\w+/)+\w+\.py)`")
_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def found(short: str) -> Path | None:
    return next((path for folder in (ROOT, *FOLDERS) if (path := folder / short).exists()), None)


def defined_in(path: Path) -> Iterator[str]:
    """Every class and function, and ``Class.method`` for what a class defines."""
    for each in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(each, ast.ClassDef):
            yield each.name
            yield from (f"{each.name}.{inner.name}" for inner in each.body if hasattr(inner, "name"))
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            yield each.name


ROWS = [(_CODE.findall(row["files"]), _CODE.findall(row["names"])) for row in _ROW.finditer(TEXT)]


def test_every_file_of_the_page_exists() -> None:
    assert [short for short in _FILE.findall(_BLOCK.sub("", TEXT)) if found(short) is None] == []


@pytest.mark.parametrize(("files", "names"), ROWS, ids=lambda value: " ".join(value))
def test_the_files_of_a_row_define_its_names_and_each_file_one_of_them(files: list[str], names: list[str]) -> None:
    defined = {short: set(defined_in(path)) for short in files if (path := found(short)) is not None}

    assert names != []
    assert [name for name in names if not any(name in those for those in defined.values())] == []
    assert [short for short, those in defined.items() if those.isdisjoint(names)] == []


def test_the_rows_are_found() -> None:
    """Otherwise the tests above would hold of an empty page."""
    assert len(ROWS) > 40


async def test_what_the_page_prints_is_what_its_code_prints(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The code of all pages is run elsewhere; here its output is compared."""
    code, shown = (block for block in blocks(PAGE) if block.language in ("python", "text"))

    await code.run_among({"__name__": "page"}, directory=tmp_path)

    assert capsys.readouterr().out == shown.code + "\n" * (not shown.code.endswith("\n"))
