"""Where things are in a drawing: nothing on top of anything else, the start first, and as fast as a page needs it."""

from __future__ import annotations

from itertools import product
from random import Random
from time import process_time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_drawing import Layout, Rectangle, Shape, ShapeEdge, ShapeNode
from spark_drawing.layout import lay_out
from tests.plugins.drawing.support import labels, overlaps, passed, shape_of, shapes
from tests.support.variants import first_of


def check(layout: Layout) -> None:
    boxes = [box.area for box in layout.boxes]
    assert overlaps([*boxes, *labels(layout), layout.entry]) == []
    inside = Rectangle(0, 0, layout.width, layout.height)
    for area in [*boxes, *labels(layout)]:
        assert area.x >= inside.x
        assert area.y >= inside.y
        assert area.right <= inside.right
        assert area.bottom <= inside.bottom


@given(shapes(most=25))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_text_and_no_node_lies_on_another_one(shape: Shape) -> None:
    layout = lay_out.__wrapped__(shape.nodes, shape.edges)

    check(layout)
    assert sorted(key for box in layout.boxes for key in box.holds) == sorted(node.key for node in shape.nodes)


@pytest.mark.parametrize("seed", first_of(range(3)))
def test_three_hundred_nodes_are_drawn_one_by_one_within_a_second(seed: int) -> None:
    shape = flow(300, Random(seed))

    began = process_time()
    layout = shape.layout()
    took = process_time() - began

    check(layout)
    assert len(layout.boxes) == 300
    assert took < 4  # 0.5 s where nothing else runs


def flow(size: int, random: Random) -> Shape:
    """A graph as large programs have: mostly onwards, some jumps, a few loops, texts at half of the edges."""
    pairs = [(max(0, number - random.randint(1, 5)), number) for number in range(1, size)]
    pairs += [(begin := random.randrange(size), min(size - 1, begin + random.randint(1, 9))) for _ in range(size // 3)]
    pairs += [(begin := random.randrange(size), max(0, begin - random.randint(0, 9))) for _ in range(size // 12)]
    edges = [
        ShapeEdge(f"node {one}", f"node {other}", random.choice(["", "", "kind='batch'", "a condition of many words"]))
        for one, other in pairs
    ]
    nodes = [ShapeNode(f"node {number}", is_start=number == 0) for number in range(size)]
    return Shape(tuple(nodes), tuple(edges))


def test_edges_pass_beside_nodes_that_they_have_nothing_to_do_with() -> None:
    for seed in range(5):
        layout = flow(40, Random(seed)).layout()

        for box in layout.boxes:
            assert passed(layout, box.area, but={box.node.key}) == []


def test_the_same_shape_has_the_same_drawing_and_is_laid_out_once() -> None:
    shape = flow(40, Random(1))

    again = Shape(shape.nodes, shape.edges)

    assert again.layout() is shape.layout()
    assert vars(lay_out.__wrapped__(shape.nodes, shape.edges)) == vars(shape.layout())


def test_the_start_is_above_everything_even_if_a_loop_leads_back_to_it() -> None:
    layout = shape_of([("begin", "next"), ("next", "last"), ("last", "begin"), ("next", "begin")]).layout()

    start, *others = layout.boxes
    assert start.node.key == "begin"
    assert all(box.area.y > start.area.bottom for box in others)
    assert layout.entry.bottom < start.area.y


def test_steps_follow_each_other_downwards_in_the_order_in_which_they_are_declared() -> None:
    layout = shape_of([("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]).layout()

    assert [box.node.key for box in sorted(layout.boxes, key=lambda box: box.area.y)] == ["a", "b", "c", "d"]


def test_edges_in_parallel_are_apart() -> None:
    layout = shape_of([("a", "b")] * 3, label="again").layout()

    assert len({route.points for route in layout.routes}) == 3
    assert overlaps(labels(layout)) == []


@pytest.mark.parametrize("count", [1, 2, 5])
def test_loops_of_one_node_are_beside_it_one_below_the_other(count: int) -> None:
    layout = shape_of([("work", "work")] * count + [("work", "end"), ("end", "work")], label="again").layout()

    work = layout.boxes[0].area
    loops = [route for route in layout.routes if route.edge.target == route.edge.source]
    assert len({route.points for route in loops}) == count
    for route in loops:
        assert route.points[0].x == route.points[-1].x == work.right
        assert work.y < route.points[0].y < route.points[-1].y < work.bottom
        assert passed(layout, route.label.area if route.label else work, but={"work"}) == []


def test_nodes_that_nothing_leads_to_have_room_for_their_loops_as_well() -> None:
    nodes = tuple(ShapeNode(key, is_start=key == "a") for key in "abc")
    edges = tuple(ShapeEdge(key, key, "again") for key in "aaaab")

    check(Shape(nodes, edges).layout())


def test_a_text_lies_on_its_own_edge() -> None:
    layout = shape_of([("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a")], label="when=True").layout()

    for route in layout.routes:
        assert route.label is not None
        middle = route.label.area.middle
        assert any(
            min(one.x, other.x) - 1 <= middle.x <= max(one.x, other.x) + 1
            and min(one.y, other.y) <= middle.y <= max(one.y, other.y)
            for one, other in zip(route.points, route.points[1:], strict=False)
        )


@given(st.integers(501, 700), st.integers(0, 3))
@settings(max_examples=8, deadline=None)
def test_more_than_five_hundred_nodes_are_drawn_in_groups_that_say_how_many_they_hold(size: int, seed: int) -> None:
    shape = flow(size, Random(seed))

    layout = lay_out.__wrapped__(shape.nodes, shape.edges)

    check(layout)
    assert 20 <= len(layout.boxes) <= 100
    assert sorted(key for box in layout.boxes for key in box.holds) == sorted(node.key for node in shape.nodes)


def test_branches_of_a_wide_fan_out_are_a_group_for_each_place_that_they_lead_to() -> None:
    names = ["".join(letters) for letters in product("abcdefghi", repeat=3)]
    pairs = [pair for name in names for pair in (("split", name), (name, "one" if name < "d" else "other"))]

    layout = shape_of(pairs).layout()

    assert [len(box.holds) for box in layout.boxes] == [1, 3 * 81, 1, 6 * 81, 1]
    assert len(layout.routes) == 4


def test_branches_that_are_alike_but_for_a_number_are_a_group_for_each_of_their_steps() -> None:
    pairs = [
        pair
        for number in range(300)
        for pair in (
            ("split", f"load_{number}"),
            (f"load_{number}", f"check_{number}"),
            (f"check_{number}", f"load_{(number + 7) % 300}"),
            (f"check_{number}", "meet"),
        )
    ]

    layout = shape_of(pairs).layout()

    assert [len(box.holds) for box in layout.boxes] == [1, 300, 300, 1]


def test_a_long_chain_is_one_group_behind_its_start() -> None:
    layout = shape_of([(f"step {number}", f"step {number + 1}") for number in range(600)]).layout()

    assert [len(box.holds) for box in layout.boxes] == [1, 600]


def test_what_is_too_entangled_to_be_followed_is_grouped_too_and_quickly() -> None:
    random = Random(1)
    tangle = shape_of(
        [
            ("0", str(random.randrange(300)))
            if number == 0
            else (str(random.randrange(300)), str(random.randrange(300)))
            for number in range(1500)
        ]
    )

    began = process_time()
    layout = tangle.layout()

    check(layout)
    assert len(layout.boxes) < len(tangle.nodes)
    assert process_time() - began < 6


def test_where_every_node_leads_to_every_other_one_there_is_still_a_drawing() -> None:
    layout = shape_of([(str(one), str(other)) for one in range(60) for other in range(60)]).layout()

    check(layout)


def test_the_box_of_a_node_is_found_in_groups_as_well() -> None:
    layout = shape_of([("split", f"work {number}") for number in range(600)]).layout()

    found = layout.box_of("work 300")

    assert found is not None
    assert len(found.holds) == 600
    assert layout.box_of("nothing") is None
