"""Long lists, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list."""

    items: Sequence[Item]
    number: int
    """From 1."""
    of: int
    """How many pages there are; one at least."""
    first: int
    """The number of its first item in the list, from 1."""
    total: int
    """How many items are on all pages."""


def page_number(text: str) -> int:
    """The page that an address asks for; the first one where it asks for none."""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def page_of(items: Sequence[Item], asked: str | int, *, size: int) -> Page[Item]:
    """The page that was asked for, or the last one where there are not so many."""
    pages = max(1, -(-len(items) // size))
    number = min(page_number(str(asked)), pages)
    start = (number - 1) * size
    return Page(items[start : start + size], number, pages, start + 1, len(items))
