"""Pages at the root of the repository, as pages of the site: people look for them there, the site has them here.

Links lead to the right place on both: ``../CHANGELOG.md`` on a page below docs/, and ``docs/cli.md`` in CHANGELOG.md. What
leads to code, which the site does not have, keeps its text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[2]

ROOT_PAGES: Final = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
"""The place of each on the site."""

FRONT_PAGE: Final = {"README.md": "index.md"}
"""README is no page of the site: its parts are on the front page, under the same headings."""

ELSEWHERE: Final = {"graph-state.md", "execution-modes.md", "event-bus.md", "workspace-artifacts.md"}
"""What the specification links to at its end: pages of the project that it comes from. Here they are no links."""

_LINK: Final = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Called by mkdocs when it has listed docs/."""
    for source, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Called by mkdocs with the text of each page."""
    return _LINK.sub(lambda link: _on_the_site(link, page=page.file.src_uri), markdown)


def _on_the_site(link: re.Match[str], *, page: str) -> str:
    """A link as it stands in the repository, as it has to be on a page of the site."""
    here = next((source for source, place in ROOT_PAGES.items() if place == page), f"docs/{page}")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link["path"]))
    place = {**ROOT_PAGES, **FRONT_PAGE}.get(target, target.removeprefix("docs/"))
    if link["path"] in ELSEWHERE or (place == target and (ROOT / target).exists()):
        return link["text"]
    return f"[{link['text']}]({posixpath.relpath(place, posixpath.dirname(page) or '.')}{link['anchor'] or ''})"
