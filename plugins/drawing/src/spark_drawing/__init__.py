"""Graphs of spark-graphs as SVG drawings."""

from spark_drawing.errors import DrawingError
from spark_drawing.geometry import Box, Label, Layout, Point, Rectangle, Route
from spark_drawing.parts import Mark, ShapeEdge, ShapeNode, Theme
from spark_drawing.shape import Shape
from spark_drawing.stylesheet import STYLESHEET

__all__ = [
    "STYLESHEET",
    "Box",
    "DrawingError",
    "Label",
    "Layout",
    "Mark",
    "Point",
    "Rectangle",
    "Route",
    "Shape",
    "ShapeEdge",
    "ShapeNode",
    "Theme",
]
