"""What can go wrong when a graph is drawn."""

from __future__ import annotations

from spark.errors import SparkError


class DrawingError(SparkError, ValueError):
    """A topology can't be drawn, because it is damaged, or none; or a drawing was asked for something that it does not have."""
