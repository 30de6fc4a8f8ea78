"""A layout as SVG, with marks and counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from html import escape
from typing import Final, get_args

from spark_drawing.errors import DrawingError
from spark_drawing.geometry import Box, Layout, Point, Rectangle, Route
from spark_drawing.layout import LABEL_LINE, LABEL_SIZE, LINE, SHEET
from spark_drawing.outlines import line, number, outline, sign, tip
from spark_drawing.parts import Mark, Theme
from spark_drawing.stylesheet import style_for
from spark_drawing.text import clean, width_of, wrapped

_PREFIX: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORST: Final[tuple[Mark, ...]] = ("failed", "interrupted", "running", "waiting", "done")
"""Of several nodes in one box, the first of these is shown."""
_LONGEST: Final = 1000
"""Of a text that is shown when the pointer rests on something, in characters."""


def draw(
    layout: Layout,
    marks: Mapping[str, Mark],
    counts: Mapping[str, str],
    *,
    theme: Theme,
    standalone: bool,
    focusable: bool,
    prefix: str,
    label: str,
) -> str:
    """The drawing, as one SVG element."""
    _check(marks, theme, prefix)
    width, height = number(layout.width), number(layout.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="spark-drawing is-{theme}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="group" aria-label="{_attribute(label)}">'
    ]
    if standalone:
        lines.append(f'<style>{style_for(theme)}</style><rect class="paper" width="{width}" height="{height}"/>')
    edges, texts = _unmarked(layout, prefix)
    nodes = [
        _node(box, f"{prefix}-n{place}", _mark(box, marks), _count(box, marks, counts), focusable=focusable)
        for place, box in enumerate(layout.boxes)
    ]
    # Texts are last, as no line may cross one.
    return "\n".join([*lines, *edges, *nodes, *texts, "</svg>\n"])


@lru_cache(maxsize=64)
def _unmarked(layout: Layout, prefix: str) -> tuple[list[str], list[str]]:
    """What is the same in each drawing of a layout: the edges, and their texts."""
    edges = [_edge(route, f"{prefix}-e{place}") for place, route in enumerate(layout.routes)]
    texts = [_text_of(route, f"{prefix}-l{place}") for place, route in enumerate(layout.routes) if route.label]
    return [_entry(layout), *edges], texts


def _check(marks: Mapping[str, Mark], theme: str, prefix: str) -> None:
    if theme not in get_args(Theme):
        raise DrawingError(f"There is no theme {theme!r}; choose one of {', '.join(map(repr, get_args(Theme)))}.")
    if not _PREFIX.fullmatch(prefix):
        raise DrawingError(f"The prefix {prefix!r} can't begin ids; use a letter, and then letters, digits, _ and -.")
    for key, mark in marks.items():
        if mark not in _WORST:
            raise DrawingError(
                f"Node {key!r} has the unknown mark {mark!r}; choose one of {', '.join(map(repr, _WORST))}."
            )


def _entry(layout: Layout) -> str:
    """The dot that leads to the start."""
    middle = layout.entry.middle
    dot = f'<circle class="dot" cx="{number(middle.x)}" cy="{number(middle.y)}" r="{number(layout.entry.width / 2)}"/>'
    return f'<g class="entry" aria-hidden="true">{dot}{_arrow(layout.entrance)}</g>'


def _arrow(points: Sequence[Point], *, text: Rectangle | None = None) -> str:
    return f'<path class="line" d="{line(points, text=text)}"/><path class="tip" d="{tip(points)}"/>'


def _edge(route: Route, id: str) -> str:
    edge = route.edge
    classes = " ".join(["edge", *(["is-error"] if edge.is_error else []), *(["is-map"] if edge.is_map else [])])
    ends = f'data-source="{_attribute(edge.source)}" data-target="{_attribute(edge.target)}"'
    arrow = _arrow(route.points, text=route.label.area if route.label else None)
    return f'<g id="{id}" class="{classes}" {ends}>{_title(_spoken_edge(route))}{arrow}</g>'


def _spoken_edge(route: Route) -> str:
    edge = route.edge
    return f"{edge.source} → {edge.target}" + (f": {edge.label}" if edge.label else "")


def _text_of(route: Route, id: str) -> str:
    """An edge's label; the edge has its number."""
    assert route.label is not None
    area, texts = route.label.area, _lines(route.label.lines, route.label.area.middle, step=LABEL_LINE, size=LABEL_SIZE)
    ends = f'data-source="{_attribute(route.edge.source)}" data-target="{_attribute(route.edge.target)}"'
    return f'<g id="{id}" class="label" {ends}>{_title(_spoken_edge(route))}{_filled(area, radius=3)}{texts}</g>'


def _node(box: Box, id: str, mark: Mark | None, count: str, *, focusable: bool) -> str:
    node = box.node
    kinds = {
        "start": node.is_start,
        "end": node.is_end,
        "join": node.is_join,
        "map": node.is_map,
        "group": box.is_group,
    }
    names = ["node", *(kind for kind, is_so in kinds.items() if is_so), *([f"is-{mark}"] if mark else [])]
    spoken = ", ".join([_name(box), *(kind for kind, is_so in kinds.items() if is_so), *filter(None, (mark, count))])
    role = 'role="button" tabindex="0"' if focusable else 'role="img"'
    opening = (
        f'<g id="{id}" class="{" ".join(names)}" data-node="{_attribute(node.key)}" {role} '
        f'aria-label="{_attribute(spoken)}">{_title(spoken)}'
    )
    front = box.area
    sheets = ""
    if node.is_map or box.is_group:
        front = replace(front, width=front.width - 2 * SHEET, height=front.height - 2 * SHEET)
        sheets = "".join(
            outline(node, replace(front, x=front.x + off, y=front.y + off), "sheet") for off in (2 * SHEET, SHEET)
        )
    badge = sign(mark, Point(front.x + 1, front.y + 1)) if mark else ""
    return f"{opening}{sheets}{outline(node, front, 'box')}{_inside(box, front, count)}{badge}</g>"


def _inside(box: Box, front: Rectangle, count: str) -> str:
    """The name, and how many there are: below it where a box has room for that, else at its lower edge."""
    middle = front.middle
    has_slot = box.node.is_map or box.is_group
    if not count:
        return _lines(box.lines, middle, step=LINE, size=13, name="name")
    if not has_slot:
        return _lines(box.lines, middle, step=LINE, size=13, name="name") + _pill(
            count, Point(front.right, front.bottom)
        )
    (text,) = wrapped(clean(count), size=LABEL_SIZE, width=front.width - 12, lines=1)
    below = Point(middle.x, middle.y + len(box.lines) * LINE / 2 + 1)
    return _lines(box.lines, Point(middle.x, middle.y - LABEL_LINE / 2), step=LINE, size=13, name="name") + _lines(
        (text,), below, step=LABEL_LINE, size=LABEL_SIZE, name="slot"
    )


def _pill(count: str, corner: Point) -> str:
    (text,) = wrapped(clean(count), size=LABEL_SIZE, width=90, lines=1)
    width = width_of(text, size=LABEL_SIZE) * 1.1 + 12
    area = Rectangle(corner.x - width + 8, corner.y - 8, width, 16)
    return f'<g class="count">{_filled(area, radius=8)}{_lines((text,), area.middle, step=LABEL_LINE, size=LABEL_SIZE)}</g>'


def _filled(area: Rectangle, *, radius: float) -> str:
    size = f'width="{number(area.width)}" height="{number(area.height)}"'
    return f'<rect x="{number(area.x)}" y="{number(area.y)}" {size} rx="{number(radius)}"/>'


def _lines(texts: Sequence[str], middle: Point, *, step: float, size: float, name: str = "") -> str:
    """Lines of text around a point. Their baselines are given: what centres them instead is not known everywhere."""
    top = middle.y - (len(texts) - 1) * step / 2 + size * 0.36
    known = f' class="{name}"' if name else ""
    return "".join(
        f'<text{known} x="{number(middle.x)}" y="{number(top + place * step)}">{escape(text)}</text>'
        for place, text in enumerate(texts)
    )


def _mark(box: Box, marks: Mapping[str, Mark]) -> Mark | None:
    """That of a node; of a group, the worst one. It is done when all in it are."""
    found = [marks[key] for key in box.holds if key in marks]
    worst = next((mark for mark in _WORST if mark in found), None)
    return None if worst == "done" and len(found) < len(box.holds) else worst


def _count(box: Box, marks: Mapping[str, Mark], counts: Mapping[str, str]) -> str:
    if not box.is_group:
        return counts.get(box.node.key, "")
    of_marks = Counter(marks[key] for key in box.holds if key in marks)
    worst = next((f", {of_marks[mark]} {mark}" for mark in _WORST if of_marks[mark]), "")
    return f"{len(box.holds)} nodes{worst}"


def _name(box: Box) -> str:
    return f"{box.holds[0]} … {box.holds[-1]}" if box.is_group else box.node.key


def _title(text: str) -> str:
    return f"<title>{escape(_short(text))}</title>"


def _short(text: str) -> str:
    text = clean(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _attribute(text: str) -> str:
    return escape(clean(text))
