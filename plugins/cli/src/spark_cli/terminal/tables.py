"""Rows in columns that fit the terminal: where it is narrow, columns get shorter, and the least important ones give way."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from spark_cli.terminal.cells import cells, cut, padded
from spark_cli.terminal.output import Line, Span, say_spans, shown
from spark_cli.terminal.screen import Screen
from spark_cli.terminal.signs import MORE

_BETWEEN: Final = 2
"""Cells between two columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column, and what becomes of it in a narrow terminal."""

    title: str
    gives_way: int = 0
    """Those with the greatest number are left out first; with 0 never."""
    shortest: int | None = None
    """It may be cut to so many cells, and to fewer only when all that gives way has given way; None: it may not."""
    middle: bool = False
    """Texts are cut in the middle, as ids are, whose ends tell them apart."""
    right: bool = False
    """Texts are at the right, as numbers are."""


def table(columns: Sequence[Column], rows: Sequence[Sequence[Span]], screen: Screen) -> list[Line]:
    """The lines of a table, the first one with the titles. Columns in which nothing stands are left out."""
    texts = [[Span(shown(cell.text, screen), cell.style) for cell in row] for row in rows]
    filled = [index for index, _ in enumerate(columns) if any(row[index].text for row in texts)]
    natural = {index: max(cells(columns[index].title), *(cells(row[index].text) for row in texts)) for index in filled}
    widths = natural if screen.width is None else _fitted(columns, natural, screen.width)
    titles = [Span(column.title, "dim") for column in columns]
    return [_line(columns, row, widths, screen) for row in (titles, *texts)] if rows else []


def say_table(columns: Sequence[Column], rows: Sequence[Sequence[str | Span]]) -> None:
    """A table to standard output; without rows, nothing."""
    spans = [[cell if isinstance(cell, Span) else Span(cell) for cell in row] for row in rows]
    say_spans(table(columns, spans, Screen.of(sys.stdout)))


def wrapped(before: Span, parts: Sequence[Span], screen: Screen) -> list[Line]:
    """The parts, separated by commas, after a first text, and in as many lines as they need."""
    lines, room = [[before]], 0
    for number, part in enumerate(parts):
        end = Span(", " if number < len(parts) - 1 else "")
        width = cells(part.text) + len(end.text)
        if screen.width is not None and number and width > room:
            lines.append([Span("  ")])
        lines[-1] += [part, end]
        room = (screen.width or 0) - sum(cells(span.text) for span in lines[-1])
    return list(lines)


def _fitted(columns: Sequence[Column], natural: dict[int, int], width: int) -> dict[int, int]:
    """The widths of those columns that stay."""
    kept = dict(natural)
    while _total(_shortest(columns, kept)) > width:
        last = max(kept, key=lambda index: (columns[index].gives_way, index))
        if columns[last].gives_way == 0:
            least = {index: size if columns[index].shortest is None else 1 for index, size in kept.items()}
            return _shrunk(kept, least, width)
        del kept[last]
    return _shrunk(kept, _shortest(columns, kept), width)


def _shrunk(natural: dict[int, int], least: dict[int, int], width: int) -> dict[int, int]:
    """The widest of those that may be cut give up a cell, until all fit, or no more can be cut."""
    widths = dict(natural)
    while _total(widths) > width:
        wider = [index for index in widths if widths[index] > least[index]]
        if not wider:
            break
        widths[max(wider, key=widths.__getitem__)] -= 1
    return widths


def _shortest(columns: Sequence[Column], widths: dict[int, int]) -> dict[int, int]:
    least = {index: columns[index].shortest for index in widths}
    return {index: width if (short := least[index]) is None else min(width, short) for index, width in widths.items()}


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + _BETWEEN * (len(widths) - 1)


def _line(columns: Sequence[Column], row: Sequence[Span], widths: dict[int, int], screen: Screen) -> Line:
    mark = shown(MORE, screen)
    line: list[Span] = []
    for index, width in widths.items():
        text = cut(row[index].text, width, mark=mark, middle=columns[index].middle)
        is_last = index == max(widths) and not columns[index].right
        line.append(Span(text if is_last else padded(text, width, right=columns[index].right), row[index].style))
        line.append(Span(" " * (0 if is_last else _BETWEEN)))
    return line[:-1]
