"""What stands in a drawing: everything for a page that highlights nodes, and nothing that could do harm."""

from __future__ import annotations

import re
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_drawing import STYLESHEET, DrawingError, Mark, Shape, ShapeEdge, ShapeNode, Theme
from spark_drawing.text import clean
from tests.plugins.drawing.support import SVG, node, parsed, shape_of, shapes, texts, with_class

HOSTILE = "\"'><script>alert(1)</script><!-- ]]> &amp; \x00\u202e\ud800"
MARKS: list[Mark] = list(get_args(Mark))


def of_everything() -> Shape:
    nodes = (
        ShapeNode("begin", is_start=True),
        ShapeNode("work", is_map=True),
        ShapeNode("meet", is_join=True),
        ShapeNode("end", is_end=True),
        ShapeNode("gave up", is_end=True),
    )
    edges = (
        ShapeEdge("begin", "work", "each items", is_map=True),
        ShapeEdge("work", "meet"),
        ShapeEdge("work", "work", "again=True"),
        ShapeEdge("meet", "end"),
        ShapeEdge("begin", "gave up", "on OSError", is_error=True),
    )
    return Shape(nodes, edges)


def test_nodes_say_their_key_and_kind_and_edges_their_ends() -> None:
    drawing = parsed(of_everything().svg())

    assert {each.get("data-node"): each.get("class") for each in with_class(drawing, "node")} == {
        "begin": "node start",
        "work": "node map",
        "meet": "node join",
        "end": "node end",
        "gave up": "node end",
    }
    edges = {
        (each.get("data-source"), each.get("data-target")): each.get("class") for each in with_class(drawing, "edge")
    }
    assert edges == {
        ("begin", "work"): "edge is-map",
        ("work", "meet"): "edge",
        ("work", "work"): "edge",
        ("meet", "end"): "edge",
        ("begin", "gave up"): "edge is-error",
    }
    assert {text for each in with_class(drawing, "label") for text in texts(each)} == {
        "each items",
        "again=True",
        "on OSError",
    }
    assert len(with_class(drawing, "entry")) == 1


def test_an_edge_leaves_out_what_is_behind_its_text() -> None:
    """Or a page whose drawings have no background would strike the text through."""
    drawing = parsed(shape_of([("a", "b"), ("b", "a")], label="again").svg())
    plain = parsed(shape_of([("a", "b"), ("b", "a")]).svg())

    def parts(root: ElementTree.Element) -> list[int]:
        return [(with_class(edge, "line")[0].get("d") or "").count("M") for edge in with_class(root, "edge")]

    assert parts(drawing) == [2, 2]
    assert parts(plain) == [1, 1]


def test_kinds_of_nodes_have_shapes_of_their_own() -> None:
    drawing = parsed(of_everything().svg())

    outlines = {key: with_class(node(drawing, key), "box")[0] for key in ("begin", "work", "meet", "end")}
    assert outlines["meet"].tag == f"{SVG}path"
    assert float(outlines["end"].get("rx") or 0) > float(outlines["begin"].get("rx") or 0)
    assert len(with_class(node(drawing, "work"), "sheet")) == 2


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_is_a_class_a_sign_and_a_word(mark: Mark) -> None:
    drawing = parsed(of_everything().svg(marks={"meet": mark, "not there": mark}))

    marked = node(drawing, "meet")
    assert f"is-{mark}" in (marked.get("class") or "").split()
    assert mark in (marked.get("aria-label") or "")
    assert len(with_class(drawing, "sign")) == 1
    assert len(with_class(marked, "sign")) == 1


def test_every_mark_has_another_sign() -> None:
    key = "meet"

    signs = {
        ElementTree.tostring(with_class(parsed(of_everything().svg(marks={key: mark})), "sign")[0]) for mark in MARKS
    }

    assert len(signs) == len(MARKS)


def test_counts_stand_in_maps_and_at_other_nodes() -> None:
    plain = of_everything()

    drawing = parsed(plain.svg(counts={"work": "12 of 40", "meet": "3", "not there": "1"}))

    assert texts(node(drawing, "work")) == ["work", "12 of 40"]
    assert texts(node(drawing, "meet")) == ["meet", "3"]
    assert "12 of 40" in (node(drawing, "work").get("aria-label") or "")


def test_a_group_says_how_many_it_holds_and_the_worst_that_happened_in_it() -> None:
    shape = shape_of([("split", f"work {number}") for number in range(600)])

    def said(marks: dict[str, Mark]) -> tuple[str, list[str]]:
        group = node(parsed(shape.svg(marks=marks)), "work 0")
        return group.get("class") or "", texts(group)[-1:]

    assert said({}) == ("node end group", ["600 nodes"])
    assert said({"work 1": "done"}) == ("node end group", ["600 nodes, 1 done"])
    assert said({f"work {number}": "done" for number in range(600)}) == (
        "node end group is-done",
        ["600 nodes, 600 done"],
    )
    assert said({"work 1": "done", "work 5": "running", "work 7": "failed", "work 8": "failed"}) == (
        "node end group is-failed",
        ["600 nodes, 2 failed"],
    )


def test_marks_and_counts_move_nothing() -> None:
    shape = of_everything()

    def places(svg: str) -> list[tuple[str | None, ...]]:
        return [(each.get("x"), each.get("y"), each.get("d")) for each in with_class(parsed(svg), "box")]

    assert places(shape.svg(marks={"work": "running"}, counts={"work": "1 of 2"})) == places(shape.svg())


def drawn_anyhow(shape: Shape, **options: Any) -> ElementTree.Element:
    """The drawing, parsed as XML, after a look at what no drawing may have."""
    svg = shape.svg(**options)
    root = parsed(svg)
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        "svg",
        "style",
        "g",
        "rect",
        "circle",
        "path",
        "text",
        "title",
    }
    for each in root.iter():
        for name, value in each.attrib.items():
            assert name != "style"
            assert not name.startswith("on")
            assert "href" not in name
            assert "url(" not in value or name.startswith(("data-", "aria-"))
    return root


@given(shapes(most=12), st.sampled_from(get_args(Theme)), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_drawing_of_anything_is_xml_without_scripts_or_references(
    shape: Shape, theme: Theme, standalone: bool
) -> None:
    root = drawn_anyhow(shape, theme=theme, standalone=standalone)

    ids = [each.get("id") for each in root.iter() if each.get("id")]
    assert len(ids) == len(set(ids)) > 0
    assert all(re.fullmatch(r"graph-[nel]\d+", id or "") for id in ids)


def test_hostile_texts_are_only_texts() -> None:
    shape = Shape(
        (ShapeNode(HOSTILE, is_start=True), ShapeNode("b")),
        (ShapeEdge(HOSTILE, "b", HOSTILE), ShapeEdge("b", "b", HOSTILE)),
    )

    root = drawn_anyhow(shape, counts={HOSTILE: HOSTILE, "b": HOSTILE}, marks={HOSTILE: "failed"}, label=HOSTILE)

    (first,) = [each for each in with_class(root, "node") if each.get("data-node") != "b"]
    assert first.get("data-node") == clean(HOSTILE)
    assert (first.findtext(f"{SVG}title") or "").startswith("\"'><script>alert(1)")


def test_what_is_shortened_is_whole_in_its_title() -> None:
    key, label = "a_long_name_" * 20, "a condition that goes on and on " * 9
    drawing = parsed(shape_of([(key, "b")], label=label).svg())

    long = node(drawing, key)
    assert any("…" in text for text in texts(long))
    assert key in (long.findtext(f"{SVG}title") or "")
    assert label.strip() in (with_class(drawing, "label")[0].findtext(f"{SVG}title") or "")


def test_a_text_of_a_megabyte_does_not_make_a_drawing_of_megabytes() -> None:
    assert len(shape_of([("a", "b"), ("b", "b")], label="x" * 1_000_000).svg()) < 50_000


def test_several_drawings_fit_into_one_page_without_a_style_sheet_of_their_own() -> None:
    shape = of_everything()

    svgs = [shape.svg(standalone=False, prefix=prefix) for prefix in ("first", "second")]

    ids = re.findall(r'\bid="([^"]+)"', "".join(svgs))
    assert len(ids) == len(set(ids)) == 2 * (5 + 5 + 3)
    for svg in svgs:
        assert "<style" not in svg
        assert "style=" not in svg
        assert with_class(parsed(svg), "paper") == []


def test_nodes_are_reached_by_the_keyboard_where_a_page_wants_it() -> None:
    drawing = parsed(of_everything().svg(focusable=True))

    assert {(each.get("tabindex"), each.get("role")) for each in with_class(drawing, "node")} == {("0", "button")}
    assert "tabindex" not in of_everything().svg()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"theme": "pink"}, "no theme 'pink'; choose one of 'auto', 'light', 'dark'"),
        ({"prefix": '"><script>'}, "can't begin ids"),
        ({"prefix": ""}, "can't begin ids"),
        ({"marks": {"work": "busy"}}, "'work' has the unknown mark 'busy'; choose one of 'failed'"),
    ],
)
def test_what_a_drawing_does_not_know_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DrawingError, match=re.escape(said)):
        of_everything().svg(**options)


def colours(style: str) -> list[dict[str, str]]:
    """Selector and property to colour, of the rules outside of media queries and of those inside."""
    outside, _, inside = style.partition("@media")
    return [
        {
            f"{selector.rpartition('is-auto ')[2]}/{name}": value
            for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", part)
            for selector in selectors.split(",")
            for name, value in re.findall(r"(fill|stroke):(#\w{6})", body)
        }
        for part in (outside, inside.partition("{")[2])
    ]


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_texts_and_lines_stand_out_as_wcag_aa_demands(dark: bool) -> None:
    (style,) = parsed(of_everything().svg()).iter(f"{SVG}style")
    known = colours(style.text or "")[dark]
    paper = known[".paper/fill"]

    assert contrast(known["text/fill"], paper) >= 4.5
    assert contrast(known["text/fill"], known[".box/fill"]) >= 4.5
    for fill in (paper, known[".box/fill"], *(known[f".node.is-{mark} .box/fill"] for mark in MARKS)):
        assert contrast(known["text/fill"], fill) >= 4.5
        assert contrast(known[".slot/fill"], fill) >= 4.5
    assert contrast(known[".count text/fill"], known[".count rect/fill"]) >= 4.5
    for line in (".line/stroke", ".tip/fill", ".edge.is-error .line/stroke", ".box/stroke"):
        assert contrast(known[line], paper) >= 3
    for mark in MARKS:
        assert contrast(known[f".node.is-{mark} .box/stroke"], paper) >= 3
        assert contrast(known[".sign path/stroke"], known[f".is-{mark} .sign circle/fill"]) >= 3


def test_a_drawing_alone_writes_its_colours_out_and_a_page_has_variables_for_them() -> None:
    alone = {theme: of_everything().svg(theme=theme) for theme in get_args(Theme)}

    assert all("var(" not in svg for svg in alone.values())
    assert ["@media" in svg for svg in alone.values()] == [True, False, False]
    used, given = (
        set(re.findall(r"var\((--[\w-]+)\)", STYLESHEET)),
        set(re.findall(r"(--[\w-]+):light-dark\(#", STYLESHEET)),
    )
    assert used == given != set()
    assert "url(" not in STYLESHEET
