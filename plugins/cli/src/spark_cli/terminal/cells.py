"""How many cells of a terminal a text takes, and how it is cut to fewer: a Chinese character takes two, an accent none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def cells(text: str) -> int:
    """How many cells the text takes."""
    return len(text) if text.isascii() else _measure()(text)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """The text with spaces after it, or before it, to fill its column."""
    space = " " * (width - cells(text))
    return space + text if right else text + space


def cut(text: str, width: int, *, mark: str, middle: bool = False) -> str:
    """The text in at most this many cells, with a mark where something was left out: at the end, or in the middle, as of ids."""
    if cells(text) <= width:
        return text
    room = width - cells(mark)
    if room < 1:
        return _first(text, width)
    after = room // 2 if middle else 0
    return f"{_first(text, room - after)}{mark}{_last(text, after)}"


def _first(text: str, width: int) -> str:
    """As many of the first characters as fit."""
    end = min(len(text), width)
    while cells(text[:end]) > width:
        end -= 1
    return text[:end]


def _last(text: str, width: int) -> str:
    start = max(0, len(text) - width)
    while cells(text[start:]) > width:
        start += 1
    return text[start:]


def _measure() -> Callable[[str], int]:
    from rich.cells import cell_len  # tables of Unicode, which few texts need

    return cell_len
