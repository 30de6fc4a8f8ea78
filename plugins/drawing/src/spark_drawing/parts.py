"""What a drawing is made of, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Mark: TypeAlias = Literal["running", "waiting", "interrupted", "failed", "done"]
"""What a node is doing, or how it ended."""
Theme: TypeAlias = Literal["auto", "light", "dark"]
"""The colours of a drawing; ``"auto"`` follows the reader's system."""


@dataclass(frozen=True, slots=True)
class ShapeNode:
    """A node, as it is drawn."""

    key: str
    is_start: bool = False
    is_end: bool = False
    """No edge leads on from it."""
    is_join: bool = False
    is_map: bool = False
    """It runs once for each item of a map: it is on the way from there to the next join."""


@dataclass(frozen=True, slots=True)
class ShapeEdge:
    """An edge, as it is drawn."""

    source: str
    target: str
    label: str = ""
    is_error: bool = False
    """It is followed when a step of its source failed."""
    is_map: bool = False
