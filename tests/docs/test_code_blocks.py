"""The Python on every page runs as written, top to bottom, as somebody would type it in."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from spark.errors import PluginNotFoundError
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointBackend
from spark.graphs.executors import close_executors
from spark.hooks import unregister
from tests.docs.pages import GIVEN, ON_RAY, WITHOUT_THE_SPECIFICATION, name_of
from tests.spec.page import Block, blocks

Names = dict[str, Any]


def python_of(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "python"]


PAGES_WITH_PYTHON = [page for page in WITHOUT_THE_SPECIFICATION if python_of(page) and name_of(page) not in ON_RAY]


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    """What the blocks of one page have defined so far; what they opened is closed at the end."""
    names: Names = {}
    yield names
    opened = [value.checkpoint_backend if isinstance(value, Graph) else value for value in names.values()]
    for backend in {id(value): value for value in opened if isinstance(value, CheckpointBackend)}.values():
        await backend.close()


def file_of(block: Block) -> str:
    """The file that a block is, as its first line says; empty for code that is typed in."""
    found = re.match(r"# (\w+\.py)\n", block.code)
    return found[1] if found else ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the reader works, and Python finds modules. Those, and the plugins that they are, are forgotten at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    close_executors()  # their workers look for modules where the next page has none
    for file in tmp_path.glob("*.py"):
        module = sys.modules.pop(file.stem, None)
        with suppress(PluginNotFoundError):
            unregister(module)


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=name_of)
async def test_the_blocks_of_a_page_run_from_top_to_bottom(
    page: Path, names: Names, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that is a file is saved where the blocks below it import it."""
    monkeypatch.setenv("SPARK_PICKLE_KEY", "as the README of the pickle format says, in its shell")
    names |= {"__name__": name_of(page), **GIVEN.get(name_of(page), {})}

    for block in python_of(page):
        if file := file_of(block):
            (folder / file).write_text(block.code, encoding="utf-8")
        else:
            await block.run_among(names, directory=folder)


def test_what_is_given_to_a_page_is_used_by_it() -> None:
    """A stand-in that is no longer needed would hide a name that the page forgot to define."""
    unused = [
        (page, name)
        for page, given in GIVEN.items()
        for name in given
        if not any(
            name in block.code
            for path in WITHOUT_THE_SPECIFICATION
            if name_of(path) == page
            for block in python_of(path)
        )
    ]

    assert unused == []


def test_every_fence_that_looks_like_python_says_so() -> None:
    """Or it would not be run."""
    silent = [
        f"{name_of(page)}:{block.line}"
        for page in WITHOUT_THE_SPECIFICATION
        for block in blocks(page)
        if block.language != "python"
        and re.search(r"^(import|from|await|async|class|def|@)\b", block.code, re.MULTILINE)
    ]

    assert silent == []
