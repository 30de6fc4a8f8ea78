"""The comparison is about the versions that the benchmarks run: who raises a pin looks at the page again."""

from __future__ import annotations

from benchmarks.contest.participants import peers
from tests.spec.page import ROOT

HELPERS = ("aiosqlite", "asyncpg", "psycopg[binary]")
"""Drivers that a peer needs beside it."""


def test_the_comparison_names_the_versions_that_are_pinned() -> None:
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    pins = [pin.split("==") for peer in peers() for pin in peer.pins]

    assert [f"{name} {version}" for name, version in pins if name not in HELPERS and version not in page] == []
