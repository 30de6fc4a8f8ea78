"""A stored value as somebody reads it who has to decide something: line by line, with long texts as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from spark_ui.views.values import INNER, POSITION, child_of, count_of, is_container, pairs, preview, window

LONGEST: Final = 4_000
"""Characters that are shown."""
_DEEPEST: Final = 12


def readable(value: Any) -> str:
    """The value as text: a text as it is, a mapping with a line for each key, what is in it indented.

    Nothing is quoted, so it can't be read back. What is longer than 4,000 characters ends in an ellipsis.
    """
    shown: list[str] = []
    length = 0
    for line in _lines(value, 0) if _is_opened(value) else [_text(value)]:
        shown.append(line)
        length += len(line) + 1
        if length > LONGEST:
            return "\n".join(shown)[:LONGEST] + "…"
    return "\n".join(shown)


def _lines(value: Any, depth: int) -> Iterator[str]:
    margin = "  " * depth
    for place, (key, each) in enumerate(pairs(value)):
        if key is INNER:  # an object whose fields have no names
            yield f"{margin}{_text(each)}"
            continue
        name = "-" if key is POSITION else f"{child_of(key, place, each).label}:"
        if _is_opened(each) and depth < _DEEPEST:
            yield f"{margin}{name}"
            yield from _lines(each, depth + 1)
        else:
            yield f"{margin}{name} {_text(each)}".replace("\n", f"\n{margin}  ")


def _is_opened(value: Any) -> bool:
    return is_container(value) and count_of(value) > 0


def _text(value: Any) -> str:
    return window(value, length=LONGEST + 1) if isinstance(value, str) else preview(value)
