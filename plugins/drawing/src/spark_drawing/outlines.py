"""The paths that nodes, edges and signs are drawn with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import hypot
from typing import Final

from spark_drawing.geometry import Point, Rectangle
from spark_drawing.layout import CUT
from spark_drawing.parts import Mark, ShapeNode

_BEND: Final = 7.0
"""The radius of a bend."""
_TIP: Final = 8.0
"""The length of the tip of an edge."""
_SIGN: Final[Mapping[Mark, str]] = {
    "running": "M-2.5 -4L4 0L-2.5 4Z",
    "waiting": "M0 -4.5V0L3 2.5",
    "interrupted": "M-2.8 -2.4A2.9 2.9 0 1 1 0 1.2M0 4.4V4.5",
    "failed": "M-3.2 -3.2L3.2 3.2M3.2 -3.2L-3.2 3.2",
    "done": "M-4 0.4L-1.2 3.4L4 -3",
}
"""A triangle, the hands of a clock, a question mark, a cross and a tick, around its middle."""


def number(value: float) -> str:
    """As short as it can be written, exact to a hundredth of a pixel."""
    return f"{round(value, 2):.2f}".rstrip("0").rstrip(".")


def outline(node: ShapeNode, area: Rectangle, name: str) -> str:
    """A node's border, as an element of this class. Joins have their corners cut off, ends are round."""
    if node.is_join:
        return f'<path class="{name}" d="{_cut_corners(area)}"/>'
    radius = min(area.height / 2, 18) if node.is_end else 4
    size = f'width="{number(area.width)}" height="{number(area.height)}" rx="{number(radius)}"'
    return f'<rect class="{name}" x="{number(area.x)}" y="{number(area.y)}" {size}/>'


def _cut_corners(area: Rectangle) -> str:
    left, right, top, bottom = area.x, area.right, area.y, area.bottom
    corners = [
        (left + CUT, top),
        (right - CUT, top),
        (right, top + CUT),
        (right, bottom - CUT),
        (right - CUT, bottom),
        (left + CUT, bottom),
        (left, bottom - CUT),
        (left, top + CUT),
    ]
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in corners) + "Z"


def line(points: Sequence[Point], *, text: Rectangle | None = None) -> str:
    """The path of an edge, with round bends. It ends where its tip begins, and leaves out what is behind its text."""
    points = [*points[:-1], _towards(points[-1], points[-2], _TIP - 1)]
    for place, ends in enumerate(pairwise(points), start=1):
        if text is not None and all(_is_at(text, end) for end in ends):
            return _bent(points[:place]) + _bent(points[place:])
    return _bent(points)


def _is_at(area: Rectangle, point: Point) -> bool:
    """Whether a point lies within an area, or on its border."""
    return area.x - 0.01 <= point.x <= area.right + 0.01 and area.y - 0.01 <= point.y <= area.bottom + 0.01


def _bent(points: Sequence[Point]) -> str:
    path = f"M{number(points[0].x)} {number(points[0].y)}"
    for before, bend, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(_BEND, _distance(before, bend) / 2, _distance(bend, after) / 2)
        begin, end = _towards(bend, before, radius), _towards(bend, after, radius)
        path += (
            f"L{number(begin.x)} {number(begin.y)}Q{number(bend.x)} {number(bend.y)} {number(end.x)} {number(end.y)}"
        )
    return f"{path}L{number(points[-1].x)} {number(points[-1].y)}"


def tip(points: Sequence[Point]) -> str:
    """The path of an edge's tip."""
    end, base = points[-1], _towards(points[-1], points[-2], _TIP)
    across = Point((end.y - base.y) / 2, (base.x - end.x) / 2)
    corners = [end, Point(base.x + across.x, base.y + across.y), Point(base.x - across.x, base.y - across.y)]
    return "M" + "L".join(f"{number(corner.x)} {number(corner.y)}" for corner in corners) + "Z"


def sign(mark: Mark, middle: Point) -> str:
    """A small picture of what a node does, so that colour is not all that says it."""
    return (
        f'<g class="sign" transform="translate({number(middle.x)} {number(middle.y)})">'
        f'<circle r="9"/><path d="{_SIGN[mark]}"/></g>'
    )


def _distance(one: Point, other: Point) -> float:
    return hypot(one.x - other.x, one.y - other.y)


def _towards(begin: Point, end: Point, length: float) -> Point:
    """The point so far from one on the way to another one."""
    distance = _distance(begin, end)
    if distance == 0:
        return begin
    part = min(1.0, length / distance)
    return Point(begin.x + (end.x - begin.x) * part, begin.y + (end.y - begin.y) * part)
