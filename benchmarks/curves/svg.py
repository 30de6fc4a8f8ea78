"""A chart as plain SVG: lines over two logarithmic axes, each with a band for its spread; readable on light and on dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 148, 44, 86
_LIGHT = {"c0": "#0969da", "c1": "#bc4c00", "c2": "#1a7f37", "c3": "#8250df", "c4": "#bf3989", "floor": "#6e7781"}
_DARK = {"c0": "#58a6ff", "c1": "#f0883e", "c2": "#56d364", "c3": "#bc8cff", "c4": "#f778ba", "floor": "#8b949e"}
"""The colours of the lines. They stand in plain rules, because not every viewer knows variables."""


def _style() -> str:
    dark = _rules(_DARK, back="#0d1117", text="#e6edf3", faint="#9198a1", grid="#2a313c")
    return (
        "svg { font: 13px system-ui, sans-serif; } .faint { font-size: 11px; } polyline { fill: none; stroke-width: 2; }"
        " .floor polyline { stroke-dasharray: 5 4; } polygon { opacity: 0.18; }\n"
        + _rules(_LIGHT, back="#ffffff", text="#24292f", faint="#59636e", grid="#d8dee4")
        + f"\n@media (prefers-color-scheme: dark) {{ {dark} }}"
    )


def _rules(lines: dict[str, str], *, back: str, text: str, faint: str, grid: str) -> str:
    ground = (
        f".back {{ fill: {back}; }} text {{ fill: {text}; }} .faint {{ fill: {faint}; }} .grid {{ stroke: {grid}; }} "
    )
    return ground + " ".join(
        f".{name} polyline {{ stroke: {colour}; }} .{name} polygon, .{name} circle, .{name} text {{ fill: {colour}; }}"
        for name, colour in lines.items()
    )


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured at one place of the horizontal axis."""

    x: float
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """The points of one thing that was measured, from left to right."""

    name: str
    points: Sequence[Point]
    is_floor: bool = False
    """Whether it is the physical floor, which is drawn dashed and grey."""


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    across: str
    """What grows to the right."""
    up: str
    """What is measured, and in which unit."""
    lines: Sequence[Line]
    note: str
    """Small print below, in one or two lines: what the band is, and the machine."""

    def svg(self) -> str:
        """The whole file."""
        return "\n".join(self._elements()) + "\n"

    def _elements(self) -> Iterator[str]:
        points = [point for line in self.lines for point in line.points]
        across = Axis.around((point.x for point in points), start=_LEFT, end=WIDTH - _RIGHT)
        up = Axis.around((y for point in points for y in (point.low, point.high)), start=HEIGHT - _BOTTOM, end=_TOP)
        yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        yield f"<title>{escape(self.title)}</title><style>{_style()}</style>"
        yield f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>'
        yield _text(_LEFT, 24, self.title, weight=True)
        yield from _grid(across, up)
        yield _text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 48, self.across, anchor="middle")
        yield _text(-(HEIGHT - _BOTTOM + _TOP) / 2, 18, self.up, anchor="middle", turned=True)
        for number, line_of_note in enumerate(reversed(self.note.splitlines())):
            yield _text(16, HEIGHT - 10 - 15 * number, line_of_note, faint=True)
        heights = _apart([up.at(line.points[-1].median) for line in self.lines])
        for number, (line, height) in enumerate(zip(self.lines, heights, strict=True)):
            yield from _line(
                line, across, up, kind="floor" if line.is_floor else f"c{number % (len(_LIGHT) - 1)}", height=height
            )
        yield "</svg>"


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic scale from one place in the picture to another, in whole powers of ten."""

    low: int
    high: int
    start: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], *, start: float, end: float) -> Axis:
        kept = [value for value in values if value > 0]
        low, high = math.floor(_log(min(kept))), math.ceil(_log(max(kept)))
        return cls(low, max(high, low + 1), start, end)

    def at(self, value: float) -> float:
        """The place of a value; what is below the axis stands at its foot."""
        share = (_log(value) - self.low) / (self.high - self.low) if value > 0 else 0.0
        return self.start + max(share, 0.0) * (self.end - self.start)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _grid(across: Axis, up: Axis) -> Iterator[str]:
    for value in across.ticks():
        x = across.at(value)
        yield f'<line class="grid" x1="{x:.1f}" y1="{up.start}" x2="{x:.1f}" y2="{up.end}"/>'
        yield _text(x, up.start + 18, _short(value), anchor="middle")
    for value in up.ticks():
        y = up.at(value)
        yield f'<line class="grid" x1="{across.start}" y1="{y:.1f}" x2="{across.end}" y2="{y:.1f}"/>'
        yield _text(across.start - 8, y + 4, _short(value), anchor="end")


def _line(line: Line, across: Axis, up: Axis, *, kind: str, height: float) -> Iterator[str]:
    middle = [(across.at(point.x), up.at(point.median)) for point in line.points]
    lower = [(across.at(point.x), up.at(point.low)) for point in line.points]
    upper = [(across.at(point.x), up.at(point.high)) for point in reversed(line.points)]
    yield f'<g class="{kind}"><polygon points="{_places(lower + upper)}"/><polyline points="{_places(middle)}"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in middle)
    yield _text(middle[-1][0] + 9, height + 4, line.name) + "</g>"


def _apart(heights: Sequence[float], gap: float = 16) -> list[float]:
    """The same heights, moved so that no two names stand on each other."""
    moved = list(heights)
    above = -math.inf
    for number in sorted(range(len(heights)), key=heights.__getitem__):
        moved[number] = above = max(heights[number], above + gap)
    return moved


def _text(
    x: float,
    y: float,
    content: str,
    *,
    anchor: str = "start",
    faint: bool = False,
    weight: bool = False,
    turned: bool = False,
) -> str:
    style = (' class="faint"' if faint else "") + (' font-weight="600"' if weight else "")
    turn = ' transform="rotate(-90)"' if turned else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}{turn}>{escape(content)}</text>'


def _places(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _short(value: float) -> str:
    """1000000 as 1M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _log(value: float) -> float:
    return math.log10(value)
