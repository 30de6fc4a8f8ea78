"""How wide texts are, and how they are wrapped, without asking a font: the reader's is not known."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

# fmt: off
_ASCII: Final = dict(zip(map(chr, range(32, 127)), (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556, 556,
    556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778,
    722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222,
    500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
), strict=True))
# fmt: on
"""Widths of Helvetica, from Adobe's font metrics, in thousandths of the font size. Arial and Liberation Sans have the same."""
_WIDE: Final = 1000
_EMOJI: Final = 1300
_OTHER: Final = 720
_ROOM: Final = 1.08
"""Other sans-serif fonts are wider."""
_BREAK: Final = re.compile(r"(?<=[\s_\-./:,;=])(?=[^\s])|(?<=[a-z0-9])(?=[A-Z])|(?=#)")
_LONGEST: Final = 1000
_LONGEST_CLUSTER: Final = 12
_UNEVEN: Final = 1.15
"""How much longer than the others a line may be."""
_TAIL: Final = 7
"""Characters of the end that are kept of a text too long: names differ there, as in ``Fetch#12``."""


def clean(text: str) -> str:
    """The text without what XML can't hold, what breaks lines, and what turns the direction of writing."""
    if text.isprintable():
        return text
    return "".join(each if _is_drawn(each) else " " if each.isspace() else "\ufffd" for each in text)


def width_of(text: str, *, size: float) -> float:
    """How wide a text is, in pixels; rather too much than too little.

    :param size: of the font, in pixels.
    """
    return sum(map(_width, text)) * size * _ROOM / 1000


def wrapped(text: str, *, size: float, width: float, lines: int) -> tuple[str, ...]:
    """The text in at most this many lines of this width, about equally long.

    What does not fit is left out before its last few characters.
    """
    if len(text) > _LONGEST:  # of which no drawing shows more than a part
        text = text[: _LONGEST // 2] + text[-_LONGEST // 2 :]
    rows = _rows(text, size=size, width=width)
    if len(rows) > lines:
        rows[lines - 1 :] = [_shortened("".join(rows[lines - 1 :]), size=size, width=width)]
    elif len(rows) > 1:
        even = _rows(text, size=size, width=min(width, width_of(text, size=size) / len(rows) * _UNEVEN))
        rows = even if len(even) == len(rows) else rows
    return tuple(row.strip() for row in rows)


def _rows(text: str, *, size: float, width: float) -> list[str]:
    rows = [""]
    for piece in _pieces(text, size=size, width=width):
        if rows[-1] and width_of(rows[-1] + piece.rstrip(), size=size) > width:
            head, comma, rest = rows[-1].rpartition(", ")
            is_better = rest and width_of(rest + piece, size=size) <= width  # than to part what belongs together
            rows[-1:] = [head + comma, rest] if is_better else [rows[-1], ""]
        rows[-1] += piece
    return rows


def _pieces(text: str, *, size: float, width: float) -> Iterator[str]:
    """What may stand on a line of its own."""
    for piece in _BREAK.split(text):
        if width_of(piece, size=size) <= width:
            yield piece
        else:
            yield from _cut(piece, size=size, width=width)


def _cut(piece: str, *, size: float, width: float) -> Iterator[str]:
    row = ""
    for cluster in _clusters(piece):
        if row and width_of(row + cluster, size=size) > width:
            yield row
            row = ""
        row += cluster
    yield row


def _shortened(text: str, *, size: float, width: float) -> str:
    clusters = list(_clusters(text))
    kept = _TAIL
    while kept > 1 and width_of("".join(clusters[-kept:]), size=size) > width / 2:
        kept -= 1
    head, tail = "", "".join(clusters[-kept:])
    for cluster in clusters[:-kept]:
        if width_of(f"{head}{cluster}…{tail}", size=size) > width:
            break
        head += cluster
    return f"{head}…{tail}"


def _clusters(text: str) -> Iterator[str]:
    """Characters with the accents and joined emoji that belong to them, roughly."""
    found = ""
    for each in text:
        is_joined = not _width(each) or found.endswith("\u200d")
        if found and not (is_joined and len(found) < _LONGEST_CLUSTER):
            yield found
            found = ""
        found += each
    if found:
        yield found


@lru_cache(maxsize=4096)
def _width(character: str) -> int:
    known = _ASCII.get(character)
    if known is not None:
        return known
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    if ord(character) >= 0x1F000 or 0x2600 <= ord(character) <= 0x27BF:
        return _EMOJI
    return _WIDE if unicodedata.east_asian_width(character) in ("W", "F") else _OTHER


def _is_drawn(character: str) -> bool:
    return character.isprintable() or character in "\u200c\u200d"  # these join letters of several scripts, and emoji
