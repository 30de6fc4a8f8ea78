"""Shapes for the tests of drawings: of any graph, and of chosen ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from hypothesis import strategies as st

from spark_drawing import Layout, Rectangle, Shape, ShapeEdge, ShapeNode

SVG = "{http://www.w3.org/2000/svg}"

TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            "work",
            "Fetch#12",
            "読み込む仕事をする節点" * 3,
            "🧑‍🚀" * 20,
            "a" * 300,
            "</text><script>alert(1)</script>",
        ]
    ),
    st.text(max_size=60),
)


@st.composite
def shapes(draw: st.DrawFn, *, most: int) -> Shape:
    """Graphs of up to so many nodes: with loops, edges in parallel, and nodes that nothing leads to."""
    keys = [f"{text}{number}" for number, text in enumerate(draw(st.lists(TEXTS, min_size=1, max_size=most)))]
    numbers = st.integers(0, len(keys) - 1)
    ends = draw(st.lists(st.tuples(numbers, st.integers(-3, 8)), max_size=2 * most))
    edges = [
        ShapeEdge(keys[source], keys[(source + step) % len(keys)], draw(TEXTS), is_error=step == 2, is_map=step == 3)
        for source, step in ends
    ]
    leaving = {edge.source for edge in edges}
    nodes = [
        ShapeNode(key, is_start=number == 0, is_end=key not in leaving, is_join=number % 5 == 4, is_map=number % 7 == 3)
        for number, key in enumerate(keys)
    ]
    return Shape(tuple(nodes), tuple(edges))


def shape_of(pairs: Iterable[tuple[str, str]], *, label: str = "") -> Shape:
    """A graph of these edges, which starts at the first end."""
    edges = tuple(ShapeEdge(source, target, label) for source, target in pairs)
    keys = list(dict.fromkeys(key for edge in edges for key in (edge.source, edge.target)))
    leaving = {edge.source for edge in edges}
    nodes = [ShapeNode(key, is_start=key == keys[0], is_end=key not in leaving) for key in keys]
    return Shape(tuple(nodes), edges)


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def with_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [each for each in root.iter() if name in (each.get("class") or "").split()]


def node(root: ElementTree.Element, key: str) -> ElementTree.Element:
    (found,) = [each for each in root.iter() if each.get("data-node") == key]
    return found


def texts(element: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in element.iter(f"{SVG}text")]


def labels(layout: Layout) -> list[Rectangle]:
    return [route.label.area for route in layout.routes if route.label]


def overlaps(areas: Sequence[Rectangle]) -> list[tuple[Rectangle, Rectangle]]:
    """Those pairs that share more than half a pixel."""
    smaller = [Rectangle(area.x + 0.25, area.y + 0.25, area.width - 0.5, area.height - 0.5) for area in areas]
    return [
        (areas[one], areas[other])
        for one in range(len(areas))
        for other in range(one)
        if smaller[one].overlaps(smaller[other])
    ]


def passed(layout: Layout, area: Rectangle, *, but: set[str]) -> list[ShapeEdge]:
    """The edges that run through an area, but for those with these ends."""
    return [
        route.edge
        for route in layout.routes
        if not {route.edge.source, route.edge.target} & but
        and any(
            Rectangle(
                min(one.x, other.x), min(one.y, other.y), abs(one.x - other.x) or 0.1, abs(one.y - other.y) or 0.1
            ).overlaps(Rectangle(area.x + 1, area.y + 1, area.width - 2, area.height - 2))
            for one, other in zip(route.points, route.points[1:], strict=False)
        )
    ]
