"""Links between the pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import WITHOUT_THE_SPECIFICATION, name_of
from tests.spec.page import ROOT

_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_NAMED_FILE = re.compile(r"`((?:docs|examples|tests|core|plugins|benchmarks)/[\w./-]+)`")


@pytest.mark.parametrize("page", WITHOUT_THE_SPECIFICATION, ids=name_of)
def test_every_relative_link_leads_to_a_file_or_heading(page: Path) -> None:
    """The links at the end of the specification are to pages of the project that it comes from, so it is left out."""
    targets = [target for target in _LINK.findall(text_of(page)) if not target.startswith(("https://", "mailto:"))]

    assert [target for target in targets if not leads_somewhere(page, target)] == []


@pytest.mark.parametrize("page", WITHOUT_THE_SPECIFICATION, ids=name_of)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """`docs/consistency.md` in the text is a link in all but form; plugins name the project's files this way."""
    named = _NAMED_FILE.findall(text_of(page))

    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_of_the_docs_is_linked_from_the_readme() -> None:
    """A page that nothing leads to is not read. The front page of the site is README in other words."""
    linked = {target.partition("#")[0] for target in _LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}

    assert {name_of(page) for page in (ROOT / "docs").glob("*.md")} - linked == {"docs/index.md"}


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page
    return file.exists() and (not anchor or anchor in anchors_of(file))


def anchors_of(page: Path) -> set[str]:
    """The headings, in the form in which links name them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def text_of(page: Path) -> str:
    """The page without its code."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))
