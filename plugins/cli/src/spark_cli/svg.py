"""A graph as an SVG drawing: nodes in layers by their distance from the start, edges as curves between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from itertools import groupby
from typing import Final, NamedTuple

from spark.graphs import Graph, JoinNode, Node

_HEIGHT: Final = 36
_GAP: Final = 28
_RISE: Final = 90
_LETTER: Final = 8.5
_MARGIN: Final = 30

_HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">\
<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>
<style>text{{font:13px sans-serif;text-anchor:middle;dominant-baseline:middle}}.label{{font-size:11px;fill:#555}}\
path.edge{{fill:none;stroke:#555}}rect{{fill:#fff;stroke:#222}}</style>
"""


class _Box(NamedTuple):
    x: float
    """Of its middle."""
    y: float
    width: float


def svg_of(graph: Graph) -> str:
    """The drawing, as one SVG document. Joins have cut-off corners, ends are round, edges for errors are dashed."""
    nodes = graph.nodes
    keys = {node: key for key, node in nodes.items()}
    boxes = _placed(nodes, _layers(graph.start, keys))
    width = max(box.x + box.width / 2 for box in boxes.values()) + _MARGIN
    height = max(box.y for box in boxes.values()) + _HEIGHT / 2 + _MARGIN
    edges = [
        _edge(boxes[key], boxes[keys[edge.target]], edge.label(), is_dashed=bool(edge.errors))
        for key, node in nodes.items()
        for edge in node.edges
    ]
    drawn = [_node(key, node, boxes[key]) for key, node in nodes.items()]
    return _HEAD.format(width=f"{width:g}", height=f"{height:g}") + "\n".join([*edges, *drawn, "</svg>\n"])


def _layers(start: Node, keys: Mapping[Node, str]) -> dict[str, int]:
    """Node key to its distance from the start."""
    layers = {keys[start]: 0}
    ahead = [start]
    for node in ahead:  # grows as it goes
        for edge in node.edges:
            if keys[edge.target] not in layers:
                layers[keys[edge.target]] = layers[keys[node]] + 1
                ahead.append(edge.target)
    return layers


def _placed(nodes: Mapping[str, Node], layers: Mapping[str, int]) -> dict[str, _Box]:
    rows = [list(row) for _, row in groupby(sorted(nodes, key=layers.__getitem__), key=layers.__getitem__)]
    widths = {key: max(60.0, len(key) * _LETTER + 20) for key in nodes}
    lengths = [sum(widths[key] for key in row) + _GAP * (len(row) - 1) for row in rows]
    return {
        key: box
        for depth, row in enumerate(rows)
        for key, box in _row(row, widths, _MARGIN + (max(lengths) - lengths[depth]) / 2, depth)
    }


def _row(row: list[str], widths: Mapping[str, float], left: float, depth: int) -> Iterator[tuple[str, _Box]]:
    for key in row:
        yield key, _Box(left + widths[key] / 2, _MARGIN + _HEIGHT / 2 + depth * _RISE, widths[key])
        left += widths[key] + _GAP


def _node(key: str, node: Node, box: _Box) -> str:
    left, top = box.x - box.width / 2, box.y - _HEIGHT / 2
    text = f'<text x="{box.x:g}" y="{box.y:g}">{escape(key)}</text>'
    if isinstance(node, JoinNode):
        points = (
            f"M{left + 10:g} {top:g}h{box.width - 20:g}l10 {_HEIGHT / 2:g}l-10 {_HEIGHT / 2:g}h{20 - box.width:g}"
            f"l-10 {-_HEIGHT / 2:g}z"
        )
        return f'<path d="{points}" fill="#fff" stroke="#222"/>{text}'
    radius = 4 if node.edges else _HEIGHT / 2
    return f'<rect x="{left:g}" y="{top:g}" width="{box.width:g}" height="{_HEIGHT}" rx="{radius:g}"/>{text}'


def _edge(source: _Box, target: _Box, label: str, *, is_dashed: bool) -> str:
    if target.y > source.y:
        start, end = (source.x, source.y + _HEIGHT / 2), (target.x, target.y - _HEIGHT / 2)
        bends = (start[0], start[1] + _RISE / 3, end[0], end[1] - _RISE / 3)
    else:  # back, or to itself: around the right side
        start, end = (source.x + source.width / 2, source.y + 8), (target.x + target.width / 2, target.y - 8)
        bends = (start[0] + _GAP, start[1], end[0] + _GAP, end[1])
    path = "M{:g} {:g}C{:g} {:g} {:g} {:g} {:g} {:g}".format(*start, *bends, *end)
    dashes = ' stroke-dasharray="5 4"' if is_dashed else ""
    drawn = f'<path class="edge" d="{path}"{dashes} marker-end="url(#tip)"/>'
    if not label:
        return drawn
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    return f'{drawn}<text class="label" x="{x:g}" y="{y:g}">{escape(label)}</text>'
