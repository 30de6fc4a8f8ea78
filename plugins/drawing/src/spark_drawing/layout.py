"""Places for nodes, edges and texts. The layers and the ways of edges are those of graphlay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import graphlay

from spark_drawing.geometry import Box, Label, Layout, Point, Rectangle, Route
from spark_drawing.grouping import Groups, between, groupings
from spark_drawing.parts import ShapeEdge, ShapeNode
from spark_drawing.text import clean, width_of, wrapped

NAME_SIZE: Final = 13.0
"""Of the font that names are written in, in pixels."""
LABEL_SIZE: Final = 11.0
LINE: Final = 17.0
"""From one line of a name to the next."""
LABEL_LINE: Final = 14.0
SHEET: Final = 4.0
"""How far the sheets of a map are apart, of which there are two behind it."""
CUT: Final = 10.0
"""What is cut off the corners of a join."""
LOOP_WIDTH: Final = 26.0
"""How far an edge reaches out that leads back to its own node."""
_LOOP_HEIGHT: Final = 24.0
_PADDING: Final = 16.0
_DOT: Final = 12.0
_MARGIN: Final = 18.0
_MOST_WAYPOINTS: Final = 2000
"""Of edges that pass layers, together. What takes longer than a second has more."""
_OPTIONS: Final[dict[str, Any]] = {
    "spacing": {"layer_gap": 30, "node_gap": 26, "dummy_gap": 18},
    "limits": {"max_dummies": _MOST_WAYPOINTS},
}
_OTHER_OPTIONS: Final[tuple[dict[str, Any], ...]] = (
    {"seed": 1},
    {"coords": {"placement": "brandes_koepf"}},
    {"seed": 2, "effort": "thorough"},
)
"""Tried where an edge passes behind a node, which is rare."""


@lru_cache(maxsize=64)
def lay_out(nodes: tuple[ShapeNode, ...], edges: tuple[ShapeEdge, ...]) -> Layout:
    """The layout of a shape. It is kept: a page draws the same graph again and again, with other marks.

    More than 500 nodes, or what is too entangled to be followed, is drawn in groups.
    """
    for groups in groupings(nodes, edges):
        boxes = _boxes(nodes, groups)
        shown = between(groups, edges)
        try:
            return _placed(boxes, shown)
        except graphlay.GraphlayError as error:
            if "limit" not in str(error):
                raise
    raise AssertionError("the last grouping can always be laid out")  # pragma: no cover


class _Way(NamedTuple):
    """What stands for an edge in the graph that is laid out."""

    edges: tuple[int, ...]
    """One, or the two to and from its text."""
    text: Label | None = None
    node: int = -1
    """The node that is the text."""


def _boxes(nodes: Sequence[ShapeNode], groups: Groups) -> list[Box]:
    """With their sizes, and no place yet."""
    held: dict[str, list[ShapeNode]] = defaultdict(list)
    for node in nodes:
        held[groups[node.key]].append(node)
    return [_box(inside) for inside in held.values()]


def _box(inside: Sequence[ShapeNode]) -> Box:
    first = inside[0]
    if len(inside) > 1:
        first = ShapeNode(
            first.key,
            is_start=any(node.is_start for node in inside),
            is_end=all(node.is_end for node in inside),
            is_join=all(node.is_join for node in inside),
            is_map=all(node.is_map for node in inside),
        )
    lines = wrapped(clean(_name(inside)), size=NAME_SIZE, width=170, lines=3)
    widest = max(width_of(line, size=NAME_SIZE) for line in lines)
    width, height = widest + 2 * _PADDING, len(lines) * LINE + 19
    if first.is_join:
        width += CUT
    if first.is_map or len(inside) > 1:  # room for how many there are, and for the sheets behind
        width, height = max(width, 104) + 2 * SHEET, height + LABEL_LINE + 2 * SHEET
    return Box(first, Rectangle(0, 0, max(width, 72), height), lines, tuple(node.key for node in inside))


def _name(inside: Sequence[ShapeNode]) -> str:
    first, last = inside[0].key, inside[-1].key
    return first if len(inside) == 1 else f"{first} … {last}"


def _placed(boxes: Sequence[Box], edges: Sequence[ShapeEdge]) -> Layout:
    loops: dict[str, list[ShapeEdge]] = defaultdict(list)
    others = []
    for edge in edges:
        if edge.source == edge.target:
            loops[edge.source].append(edge)
        else:
            others.append(edge)
    boxes = [_roomy(box, loops[box.node.key]) for box in boxes]
    graph, ways = _graph(boxes, others, loops)
    found = _best(graph)
    areas = [_area(node) for node in found.nodes]
    placed = [replace(box, area=area) for box, area in zip(boxes, areas, strict=False)]
    routes = [_route(edge, way, found, areas) for edge, way in zip(others, ways, strict=True)]
    routes += [route for box in placed for route in _loops(box, loops[box.node.key])]
    return _moved(placed, routes, entry=areas[len(boxes)], entrance=_points(found.edges[0]))


def _roomy(box: Box, loops: Sequence[ShapeEdge]) -> Box:
    """Tall enough for its loops, one below the other."""
    height = max(box.area.height, sum(map(_loop_height, loops)) + 6)
    return replace(box, area=replace(box.area, height=height))


def _loop_height(loop: ShapeEdge) -> float:
    text = _label(loop)
    return max(_LOOP_HEIGHT, text.area.height + 2) if text else _LOOP_HEIGHT


def _label(edge: ShapeEdge) -> Label | None:
    """With its size, and no place yet."""
    if not edge.label:
        return None
    lines = wrapped(clean(edge.label), size=LABEL_SIZE, width=130, lines=2)
    width = max(width_of(line, size=LABEL_SIZE) for line in lines) + 8
    return Label(Rectangle(0, 0, width, len(lines) * LABEL_LINE + 3), lines)


def _graph(
    boxes: Sequence[Box], edges: Sequence[ShapeEdge], loops: Mapping[str, Sequence[ShapeEdge]]
) -> tuple[graphlay.Graph, list[_Way]]:
    """What graphlay is given: boxes in their order, the dot that leads to the start, and texts, each a node on its edge."""
    graph = graphlay.Graph()
    for number, box in enumerate(boxes):
        beside = {"cross_pos": _loop_room(loops[box.node.key])}
        graph.node(number, width=box.area.width, height=box.area.height, margin=beside)
    dot = graph.node(len(boxes), width=_DOT, height=_DOT, shape="ellipse")
    graph.edge(dot, _start(boxes), weight=4)
    numbers = {box.node.key: number for number, box in enumerate(boxes)}
    back, beginnings = _followed(boxes, edges)
    with_text = {edge.source for edge in edges if edge.label}
    ways = []
    for number, edge in enumerate(edges):
        text = _label(edge)
        source, target, is_back = numbers[edge.source], numbers[edge.target], number in back
        weight = 1 if is_back or edge.is_error else 2
        if text is None and edge.source not in with_text:
            ways.append(_Way((graph.edge(source, target, weight=weight, reverse_for_ranking=is_back),)))
            continue
        size = text.area if text else Rectangle(0, 0, 2, LABEL_LINE)
        between = graph.node(len(graph.nodes), width=size.width, height=size.height)
        above, below = ({"offset": {"side": side, "t": 0}} for side in ("top", "bottom"))
        halves = (
            graph.edge(
                source, between, weight=weight, reverse_for_ranking=is_back, target_port=below if is_back else above
            ),
            graph.edge(
                between, target, weight=weight, reverse_for_ranking=is_back, source_port=above if is_back else below
            ),
        )
        ways.append(_Way(halves, text, between))
    for begin in beginnings[1:]:  # which nothing leads to; it would be placed as if it had no loops
        graph.edge(dot, numbers[begin])
    return graph, ways


def _loop_room(loops: Sequence[ShapeEdge]) -> float:
    """How much is needed beside a node for its loops and their texts, and for the sign of a node beyond them."""
    if not loops:
        return 0
    return LOOP_WIDTH + 14 + max(text.area.width if (text := _label(loop)) else 0 for loop in loops)


def _followed(boxes: Sequence[Box], edges: Sequence[ShapeEdge]) -> tuple[set[int], list[str]]:
    """Follows all edges in their order, from the start, and then from what was not reached.

    :returns: the numbers of the edges that close a loop, and the keys of the boxes from which was followed.
    """
    leaving: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, edge in enumerate(edges):
        leaving[edge.source].append((number, edge.target))
    back: set[int] = set()
    beginnings: list[str] = []
    is_open: dict[str, bool] = {}
    for begin in [boxes[_start(boxes)], *boxes]:
        if begin.node.key in is_open:
            continue
        beginnings.append(begin.node.key)
        is_open[begin.node.key] = True
        path = [(begin.node.key, iter(leaving[begin.node.key]))]
        while path:
            key, ahead = path[-1]
            number, target = next(ahead, (-1, ""))
            if number < 0:
                is_open[key] = False
                path.pop()
            elif target not in is_open:
                is_open[target] = True
                path.append((target, iter(leaving[target])))
            elif is_open[target]:
                back.add(number)
    return back, beginnings


def _start(boxes: Sequence[Box]) -> int:
    return next((number for number, box in enumerate(boxes) if box.node.is_start), 0)


def _best(graph: graphlay.Graph) -> graphlay.Layout:
    """The first layout in which no edge passes behind a node, or the one with the fewest."""
    found = graphlay.layout(graph, preset="process_map", options=_OPTIONS)
    fewest = _faults(found)
    for options in _OTHER_OPTIONS:
        if not fewest:
            break
        other = graphlay.layout(graph, preset="process_map", options={**_OPTIONS, **options})
        if (faults := _faults(other)) < fewest:
            found, fewest = other, faults
    return found


def _faults(found: graphlay.Layout) -> int:
    metrics = found.metrics()
    return int(metrics["node_edge_hits"] + metrics["node_overlaps"])


def _area(node: Mapping[str, Any]) -> Rectangle:
    center, size = node["center"], node["size"]
    width, height = size["width"], size["height"]
    return Rectangle(center["x"] - width / 2, center["y"] - height / 2, width, height)


def _route(edge: ShapeEdge, way: _Way, found: graphlay.Layout, areas: Sequence[Rectangle]) -> Route:
    points = tuple(point for number in way.edges for point in _points(found.edges[number]))
    return Route(edge, points, replace(way.text, area=areas[way.node]) if way.text else None)


def _points(way: Mapping[str, Any]) -> tuple[Point, ...]:
    return tuple(Point(point["x"], point["y"]) for point in way["points"])


def _loops(box: Box, loops: Sequence[ShapeEdge]) -> Iterator[Route]:
    """Beside the node, one below the other, each with its text."""
    x, out = box.area.right, box.area.right + LOOP_WIDTH
    top = box.area.middle.y - sum(map(_loop_height, loops)) / 2
    for loop in loops:
        height, text = _loop_height(loop), _label(loop)
        y = top + height / 2
        points = (Point(x, y - 8), Point(out, y - 8), Point(out, y + 8), Point(x, y + 8))
        yield Route(loop, points, _at(text, Point(out + 4 + text.area.width / 2, y)) if text else None)
        top += height


def _at(text: Label, middle: Point) -> Label:
    area = text.area
    return replace(text, area=replace(area, x=middle.x - area.width / 2, y=middle.y - area.height / 2))


def _moved(boxes: Sequence[Box], routes: Sequence[Route], *, entry: Rectangle, entrance: Sequence[Point]) -> Layout:
    """All of it, with a margin around."""
    areas = [entry, *(box.area for box in boxes), *(route.label.area for route in routes if route.label)]
    points = [*entrance, *(point for route in routes for point in route.points)]
    left = min(*(area.x for area in areas), *(point.x for point in points)) - _MARGIN
    top = min(*(area.y for area in areas), *(point.y for point in points)) - _MARGIN
    right = max(*(area.right for area in areas), *(point.x for point in points)) + _MARGIN
    bottom = max(*(area.bottom for area in areas), *(point.y for point in points)) + _MARGIN

    def moved(area: Rectangle) -> Rectangle:
        return replace(area, x=area.x - left, y=area.y - top)

    def moved_points(points: Sequence[Point]) -> tuple[Point, ...]:
        return tuple(Point(point.x - left, point.y - top) for point in points)

    return Layout(
        right - left,
        bottom - top,
        moved(entry),
        moved_points(entrance),
        tuple(replace(box, area=moved(box.area)) for box in boxes),
        tuple(
            Route(
                route.edge,
                moved_points(route.points),
                replace(route.label, area=moved(route.label.area)) if route.label else None,
            )
            for route in routes
        ),
    )
