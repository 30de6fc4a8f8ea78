"""What changed from one checkpoint to the next, as a page shows it: values before and after, items added, texts line by line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from spark.graphs.checkpoint import Difference
from spark_ui.views.values import LONGEST, Shown, children, counted, is_container, printable, shown

MOST: Final = 60
"""Differences that are shown of each part."""
MOST_ITEMS: Final = 5
"""Items that are shown of those that were added to a list, or removed from it."""
_MOST_LINES: Final = 80
"""Lines of a text that are shown."""
_LONGEST_TEXT: Final = 200_000
"""Characters that are looked at of a text that was added, or removed."""
_PLAIN_KEY: Final = re.compile(r"\['([A-Za-z_][A-Za-z0-9_]*)'\]")
_TITLES: Final = {
    "graph_state": "State",
    "node_states": "State of nodes",
    "frontier": "Pending work",
    "config": "Configuration",
    "execution_metadata": "Facts of the run",
    "topology": "Graph",
    "version": "Format",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text: as it was (``-``), as it is (``+``), the same in both (a space), or left out (``…``)."""

    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One difference."""

    path: str
    """Within its part: ``orders[3].total``."""
    change: str
    """``"added"``, ``"removed"`` or ``"changed"``."""
    before: Shown | None = None
    after: Shown | None = None
    items: tuple[Shown, ...] = ()
    """Items of a list that were added or removed, the first of them."""
    more: int = 0
    """How many more there are of these."""
    lines: tuple[Line, ...] = ()
    """Of a text with several lines."""
    inside: tuple[tuple[str, Shown], ...] = ()
    """What is in a value that was added, or removed: key and value."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """The differences of one section."""

    name: str
    title: str
    rows: tuple[Row, ...]
    total: int
    is_quiet: bool
    """Bookkeeping that changes with every step."""


def parts_of(differences: Iterable[Difference]) -> list[Part]:
    """The differences, section by section: state first, bookkeeping last."""
    by_section: dict[str, list[Difference]] = {}
    for each in differences:
        by_section.setdefault(each.path.partition("[")[0], []).append(each)
    order = [*_TITLES]
    names = sorted(by_section, key=lambda name: order.index(name) if name in order else len(order))
    return [_part(name, by_section[name]) for name in names]


def _part(name: str, differences: Sequence[Difference]) -> Part:
    rows = tuple(_row(each, name) for each in islice(differences, MOST))
    is_quiet = name in ("execution_metadata", "frontier", "config", "topology", "version")
    return Part(name, _TITLES.get(name, printable(name)), rows, len(differences), is_quiet)


def _row(difference: Difference, section: str) -> Row:
    path, change = _path(difference.path.removeprefix(section)), difference.change
    before, after = difference.before, difference.after
    if difference.at is not None:
        return _items(path, change, before if change == "removed" else after, difference.at)
    if isinstance(before, str) and isinstance(after, str) and (_is_long(before) or _is_long(after)):
        lines = [Line(sign, _text(line)) for sign, line in islice(difference.lines(), 10 * _MOST_LINES)]
        return Row(path, change, lines=_cut(lines), note=f"{len(before):,} → {counted(len(after), 'character')}")
    if change == "changed":
        return Row(path, change, shown(before), shown(after))
    value = after if change == "added" else before
    old, new = (None, shown(value)) if change == "added" else (shown(value), None)
    return Row(path, change, old, new, inside=_inside(value), lines=_whole(value, change))


def _is_long(text: str) -> bool:
    return "\n" in text or len(text) > LONGEST


def _path(path: str) -> str:
    """A path as people write it: ``orders[3].total``."""
    return printable(_PLAIN_KEY.sub(r".\1", path).removeprefix(".")) or "all of it"


def _items(path: str, change: str, items: Any, at: int) -> Row:
    found = items if isinstance(items, list | tuple) else [items]
    some = tuple(shown(item) for item in found[:MOST_ITEMS])
    note = f"{counted(len(found), 'item')} {change} at {at:,}"
    return Row(path, change, items=some, more=len(found) - len(some), note=note)


def _inside(value: Any) -> tuple[tuple[str, Shown], ...]:
    if not is_container(value):
        return ()
    return tuple((child.label, shown(child.value)) for child in children(value, limit=MOST_ITEMS * 2))


def _whole(value: Any, change: str) -> tuple[Line, ...]:
    """The first lines of a text that was added, or removed."""
    if not isinstance(value, str) or "\n" not in value:
        return ()
    sign = "+" if change == "added" else "-"
    lines = value[:_LONGEST_TEXT].split("\n")
    return _cut([Line(sign, _text(line)) for line in lines])


def _cut(lines: list[Line]) -> tuple[Line, ...]:
    if len(lines) <= _MOST_LINES:
        return tuple(lines)
    return (*lines[:_MOST_LINES], Line("…", f"{counted(len(lines) - _MOST_LINES, 'line')} more"))


def _text(line: str) -> str:
    return printable(line[:1_000]) + ("…" if len(line) > 1_000 else "")
