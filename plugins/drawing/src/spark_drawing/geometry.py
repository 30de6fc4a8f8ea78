"""Where everything of a drawing is, in pixels from its upper left corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from spark_drawing.parts import ShapeEdge, ShapeNode


class Point(NamedTuple):
    """A place in a drawing."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Rectangle:
    """An area of a drawing, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> Point:
        return Point(self.x + self.width / 2, self.y + self.height / 2)

    def overlaps(self, other: Rectangle) -> bool:
        """Whether the two share more than a border."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


@dataclass(frozen=True, slots=True)
class Label:
    """A text with its place."""

    area: Rectangle
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A node with its place, or a group of nodes."""

    node: ShapeNode
    """For a group, its first node's key, and what all of its nodes have in common."""
    area: Rectangle
    lines: tuple[str, ...]
    """What is written into it."""
    holds: tuple[str, ...]
    """The keys of the nodes that it stands for: more than one in a group."""

    @property
    def is_group(self) -> bool:
        return len(self.holds) > 1


@dataclass(frozen=True, slots=True)
class Route:
    """An edge with its way."""

    edge: ShapeEdge
    points: tuple[Point, ...]
    """From the border of its source to that of its target, with each bend."""
    label: Label | None


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the nodes and edges of a shape are. There is one for each shape, so it is compared by identity."""

    width: float
    height: float
    entry: Rectangle
    """Where the dot is that leads to the start."""
    entrance: tuple[Point, ...]
    """The way from there to the start."""
    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]

    def box_of(self, key: str) -> Box | None:
        """The box of a node, or of the group that it is in; None where there is no such node."""
        return next((box for box in self.boxes if key in box.holds), None)
