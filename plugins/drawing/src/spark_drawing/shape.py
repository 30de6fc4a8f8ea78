"""What is drawn of a graph: its nodes and edges as plain data, from a graph or from what a checkpoint records of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_drawing.geometry import Layout
from spark_drawing.layout import lay_out
from spark_drawing.parts import Mark, ShapeEdge, ShapeNode, Theme
from spark_drawing.reading import read_topology
from spark_drawing.svg import draw

if TYPE_CHECKING:
    from spark.graphs import Graph


@dataclass(frozen=True, slots=True)
class Shape:
    """The nodes and edges of a graph, ready to be drawn. Shapes of equal graphs are equal, and share one layout."""

    nodes: tuple[ShapeNode, ...]
    edges: tuple[ShapeEdge, ...]

    @classmethod
    def of_graph(cls, graph: Graph) -> Shape:
        """The shape of a graph in this program."""
        return cls.of_topology(graph.create_checkpoint().topology)

    @classmethod
    def of_topology(cls, section: Mapping[str, Any] | None) -> Shape:
        """The shape that a checkpoint has recorded. No class of the application is needed.

        :param section: ``checkpoint.topology``.
        :raises DrawingError: there is none, or it is damaged.
        """
        return cls(*read_topology(section))

    def layout(self) -> Layout:
        """Where nodes and edges are.

        It is computed once for each shape, in about half a second for 300 nodes, and kept for the 64 shapes that were drawn
        last. Graphs of more than 500 nodes, and those that are too entangled, are laid out in groups.
        """
        return lay_out(self.nodes, self.edges)

    def _repr_svg_(self) -> str:
        """What a notebook shows of it."""
        return self.svg()

    def svg(
        self,
        *,
        marks: Mapping[str, Mark] | None = None,
        counts: Mapping[str, str] | None = None,
        theme: Theme = "auto",
        standalone: bool = True,
        focusable: bool = False,
        prefix: str = "graph",
        label: str = "Graph",
    ) -> str:
        """The drawing, as one SVG document.

        Nodes have ``data-node`` with their key, edges and their labels ``data-source`` and ``data-target``; so a page can
        highlight them. What a node does is a class as well, as ``is-failed``.

        :param marks: node key to what the node is doing. Keys that the graph does not have are ignored, as in ``counts``.
        :param counts: node key to a short text, as ``"12 of 40"``. A map has room for it.
        :param theme: the colours; ``"auto"`` follows the reader's system.
        :param standalone: whether it brings its style sheet and a background. A page that serves ``STYLESHEET`` needs neither.
        :param focusable: whether nodes are buttons, which the keyboard reaches.
        :param prefix: what each id in it begins with. Each drawing of a page needs its own.
        :param label: what it shows, for screen readers.
        :raises DrawingError: there is no such mark or theme, or the prefix can't begin an id.
        """
        return draw(
            self.layout(),
            marks or {},
            counts or {},
            theme=theme,
            standalone=standalone,
            focusable=focusable,
            prefix=prefix,
            label=label,
        )
