"""The site leads where the pages lead, and shows what they show, though it is made by another reader of Markdown than GitHub."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.spec.page import ROOT


def hook(name: str) -> ModuleType:
    """A module that mkdocs loads by its path."""
    spec = spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_the_site(markdown: str, *, page: str) -> str:
    """The text of a page below docs/, as the site has it."""
    there: Any = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    changed: str = hook("root_pages").on_page_markdown(markdown, page=there, config=None, files=None)
    return changed


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("security.md", "[how](../SECURITY.md)", "[how](reporting.md)"),
        ("decisions/blobs.md", "[what](../../CHANGELOG.md#a)", "[what](../changelog.md#a)"),
        ("tutorial.md", "[clone](../README.md#install)", "[clone](index.md#install)"),
        ("changelog.md", "[files](docs/file-backend.md#b)", "[files](file-backend.md#b)"),
        ("graphs.md", "[state](#state)", "[state](#state)"),
        ("graphs.md", "[there](https://example.org/docs/x.md)", "[there](https://example.org/docs/x.md)"),
        ("write-a-backend.md", "[the template](../plugins/testing_kit/src/spark_testing)", "the template"),
        ("graphs.md", "[nothing](../no/such/file.py)", "[nothing](no/such/file.py)"),
    ],
)
def test_a_link_leads_to_the_same_place_on_the_site(page: str, link: str, expected: str) -> None:
    """The last one leads nowhere in the repository either, so it stays a link, for mkdocs to complain about."""
    assert on_the_site(link, page=page) == expected


def test_a_list_right_below_a_paragraph_is_a_list() -> None:
    shown = hook("github_lists").on_page_markdown("Use when:\n- a\n  more\n- b\n\nText\n```\nx:\n- y\n```")

    assert shown == "Use when:\n\n- a\n  more\n- b\n\nText\n```\nx:\n- y\n```"


def test_code_in_a_numbered_item_belongs_to_it() -> None:
    shown = hook("github_lists").on_page_markdown("1. a\n   ```\n   x\n   ```\n\n2. b\n\nText\n   c")

    assert shown == "1. a\n    ```\n    x\n    ```\n\n2. b\n\nText\n   c"


def test_a_page_is_described_by_its_first_paragraph() -> None:
    describe = hook("search").description_of

    assert describe("# Title\n\nWait for\n[a `signal`](signals.md).\n\nMore.") == "Wait for a signal."
    assert describe("# Title\n\n```\ncode\n```\n\nText.") == ""


def test_pages_for_users_are_found_before_those_about_the_project() -> None:
    def meta_of(page: str) -> dict[str, Any]:
        there: Any = SimpleNamespace(file=SimpleNamespace(src_uri=page), meta={})
        hook("search").on_page_markdown("# Title\n\nText.", page=there)
        found: dict[str, Any] = there.meta
        return found

    assert meta_of("retries.md") == {"description": "Text."}
    assert meta_of("decisions/engine.md")["search"]["boost"] < 1
