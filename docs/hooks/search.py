"""What search engines and the search of the site are told about a page.

The first paragraph of a page says what it is for, so it is the page's description. Pages for people who work on the
project itself are found after those for its users.
"""

from __future__ import annotations

import re
from typing import Any, Final

from mkdocs.structure.pages import Page

FOR_CONTRIBUTORS: Final = ("decisions/", "architecture.md", "changelog.md", "contributing.md")
LOWER: Final = 0.3

_LINK: Final = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_MARKUP: Final = re.compile(r"[`*]")
_NO_PROSE: Final = ("#", "```", "<", "|", "--8<--", "-", ">")


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> None:
    """Called by mkdocs with the text of each page."""
    if description := description_of(markdown):
        page.meta.setdefault("description", description)
    if page.file.src_uri.startswith(FOR_CONTRIBUTORS):
        page.meta.setdefault("search", {"boost": LOWER})


def description_of(markdown: str) -> str:
    """The first paragraph as one line of plain text; empty for a page that begins with something else."""
    paragraphs = (part.strip() for part in markdown.split("\n\n"))
    first = next((part for part in paragraphs if part and not part.startswith("# ")), "")
    if first.startswith(_NO_PROSE):
        return ""
    return " ".join(_MARKUP.sub("", _LINK.sub(r"\1", first)).replace('"', "'").split())
