"""README can be read in a few minutes, and its pictures load quickly wherever it is shown."""

from __future__ import annotations

import re

import pytest

from tests.docs.pictures import KILL_AND_RESUME, RUN
from tests.spec.page import ROOT, Block, blocks

README = ROOT / "README.md"
EXAMPLES = [block for block in blocks(README) if block.language == "python"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda block: f"line-{block.line}")
def test_each_example_is_shorter_than_25_lines(example: Block) -> None:
    assert len(example.code.strip().splitlines()) < 25


def test_readme_fits_on_a_few_screens() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < 200
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_pictures_are_where_a_page_looks_for_them(page: str) -> None:
    path = ROOT / page
    shown = re.findall(r'(?:src|srcset)="([^"]+)"', path.read_text(encoding="utf-8"))

    assert {(path.parent / each).resolve() for each in shown} == {KILL_AND_RESUME, *RUN.values()}


def test_the_pictures_are_small_and_the_drawing_runs_no_script() -> None:
    drawing = KILL_AND_RESUME.read_text(encoding="utf-8")

    assert all(file.stat().st_size < 200_000 for file in RUN.values())
    assert len(drawing) < 30_000
    assert "<script" not in drawing
    assert "prefers-reduced-motion:no-preference" in drawing


def test_the_navigation_of_the_site_is_short() -> None:
    """About 20 entries are read; more are searched."""
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    entries = re.findall(r"^  - ", settings[settings.index("\nnav:") :], re.MULTILINE)

    assert 15 <= len(entries) <= 24
