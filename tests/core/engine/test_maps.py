"""Maps: one execution for each item of a list, and a join that gets the results in the order of the items."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from spark.errors import BudgetExceededError, GraphDefinitionError, MapError
from spark.graphs import Budget, Graph, ItemError, JoinNode, Node, NodeContext, Task
from spark.graphs.checkpoint import CheckpointConfig
from tests.support.running import Does


class Gather(JoinNode):
    """Returns what it is given, and where it was."""

    async def process(self, context: NodeContext) -> Any:
        return {"got": context.inputs, "path": context.path}


def split(items: Any, name: str = "split") -> Node:
    return Does(lambda context: {"items": items}, name=name)


def passing(name: str) -> Node:
    """Passes an item on as the list that the next map runs over."""
    return Does(lambda context: {"items": context.inputs}, name=name)


def says(name: str, function: Callable[[NodeContext], Any]) -> Node:
    return Does(function, name=name)


async def got(start: Node, **options: Any) -> Any:
    return (await Graph(start, **options).run()).content["got"]


class TestItems:
    async def test_the_worker_runs_once_for_each_item_and_the_join_gets_the_results_in_their_order(self) -> None:
        async def work(context: NodeContext) -> Any:
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            return context.inputs * 10

        start = split([1, 2, 3, 4, 5])
        start.each("items") >> Does(work, name="work") >> Gather()

        assert await got(start) == [10, 20, 30, 40, 50]

    async def test_an_item_knows_its_index(self) -> None:
        start = split(("a", "b"))
        start.each("items") >> says("work", lambda c: (c.index, c.key, c.path, c.inputs)) >> Gather()

        assert await got(start) == [(0, None, (0,), "a"), (1, None, (1,), "b")]

    async def test_an_error_says_which_item_failed(self) -> None:
        start, inner = split({"x": [1], "y": [2, 0]}), passing("inner")
        start.each("items") >> inner
        inner.each("items") >> says("work", lambda c: 1 / c.inputs) >> Gather()

        with pytest.raises(ZeroDivisionError) as caught:
            await Graph(start, checkpoint_config=CheckpointConfig()).run()

        assert "node 'work' failed for item 'y', 1; graph" in caught.value.__notes__[-1]

    async def test_of_a_mapping_the_values_are_the_items(self) -> None:
        start = split({"x": 1, "y": 2})
        start.each("items") >> says("work", lambda c: (c.index, c.key, c.path, c.inputs)) >> Gather()

        assert await got(start) == [(0, "x", ("x",), 1), (1, "y", ("y",), 2)]

    async def test_outside_of_maps_there_is_no_item(self) -> None:
        start = split([1])
        start.each("items") >> says("work", lambda c: c.inputs) >> (gather := Gather())
        gather >> says("after", lambda c: {"got": (c.index, c.key, c.path)})

        assert await got(start) == (None, None, ())

    @pytest.mark.parametrize("empty", [[], (), {}], ids=str)
    async def test_an_empty_list_goes_straight_to_the_join(self, empty: Any) -> None:
        start = split(empty)
        start.each("items") >> says("work", lambda c: pytest.fail("nothing to do")) >> Gather()

        assert await got(start) == []

    async def test_without_a_join_the_map_simply_ends(self) -> None:
        done: list[int] = []
        start = split([1, 2, 3])
        start.each("items") >> says("work", lambda c: done.append(c.inputs))
        await Graph(start).run()

        assert sorted(done) == [1, 2, 3]

    async def test_an_empty_map_without_a_join_leaves_the_result_to_its_source(self) -> None:
        start = split([])
        start.each("items") >> says("work", lambda c: None)

        assert (await Graph(start).run()).node == "split"

    async def test_each_item_has_an_idempotency_key_of_its_own(self) -> None:
        start = split([7] * 50)
        start.each("items") >> says("work", lambda c: c.idempotency_key) >> Gather()
        first, second = await got(start, id="one"), await got(start, id="two")

        assert len(set(first)) == 50
        assert [key.rpartition("/")[2] for key in first] == [key.rpartition("/")[2] for key in second]

    async def test_an_item_gets_its_own_copy(self) -> None:
        shared = {"n": [1]}
        start = split([shared, shared])
        start.each("items") >> says("work", lambda c: c.inputs["n"].append(2) or c.inputs) >> Gather()

        assert await got(start) == [{"n": [1, 2]}, {"n": [1, 2]}]


class TestWays:
    async def test_an_item_may_pass_several_nodes(self) -> None:
        start = split([1, 2, 3])
        start.each("items") >> says("a", lambda c: c.inputs + 1) >> says("b", lambda c: (c.index, c.inputs)) >> Gather()

        assert await got(start) == [(0, 2), (1, 3), (2, 4)]

    async def test_an_item_may_loop(self) -> None:
        start = split([3, 0, 2])
        work = says("work", lambda c: c.inputs - 1)
        work.on(lambda left: left > 0) >> work
        work.on(lambda left: left <= 0) >> Gather()
        start.each("items") >> work

        assert await got(start) == [0, -1, 0]

    async def test_an_item_may_fan_out_and_its_results_come_in_a_fixed_order(self) -> None:
        async def slow(context: NodeContext) -> Any:
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            return (context.node, context.inputs)

        start, gather = split([1, 2]), Gather()
        start.each("items") >> says("work", lambda c: c.inputs) >> [Does(slow, name=name) for name in "abc"] >> gather

        assert await got(start) == [(name, item) for item in (1, 2) for name in "abc"]

    async def test_an_item_that_reaches_no_join_contributes_nothing(self) -> None:
        start = split([1, 2, 3, 4])
        work = says("work", lambda c: c.inputs)
        work.on(lambda n: n % 2 == 0) >> Gather()
        start.each("items") >> work

        assert await got(start) == [2, 4]

    async def test_when_no_item_reaches_the_join_it_gets_an_empty_list(self) -> None:
        start = split([1, 3])
        work = says("work", lambda c: c.inputs)
        work.on(lambda n: n % 2 == 0) >> Gather()
        start.each("items") >> work

        assert await got(start) == []

    async def test_each_join_gets_the_items_that_reach_it_first(self) -> None:
        start, even, odd, last = split([1, 2, 3, 4]), Gather(name="even"), Gather(name="odd"), Gather(name="last")
        work = says("work", lambda c: c.inputs)
        work.on(lambda n: n % 2 == 0) >> even
        work.on(lambda n: n % 2 == 1) >> odd
        start.each("items") >> work
        [even, odd] >> last

        assert await got(start) == [{"got": [2, 4], "path": ()}, {"got": [1, 3], "path": ()}]

    @pytest.mark.parametrize("first", ["even", "odd"])
    async def test_what_follows_two_joins_of_one_map_keeps_their_order(self, first: str) -> None:
        done = {"even": asyncio.Event(), "odd": asyncio.Event()}
        done[first].set()

        async def shared(context: NodeContext) -> Any:
            kind = "even" if context.inputs["got"][0] % 2 == 0 else "odd"
            await done[kind].wait()
            done["odd" if kind == "even" else "even"].set()
            return kind

        start, even, odd, last = split([1, 2]), Gather(name="even"), Gather(name="odd"), Gather(name="last")
        work = says("work", lambda c: c.inputs)
        work.on(lambda n: n % 2 == 0) >> even
        work.on(lambda n: n % 2 == 1) >> odd
        start.each("items") >> work
        [even, odd] >> Does(shared, name="shared") >> last

        assert await got(start) == ["even", "odd"]

    async def test_results_arrive_together_with_what_comes_by_plain_edges(self) -> None:
        start, gather = split([1, 2]), Gather()
        start.each("items") >> says("work", lambda c: ("work", c.inputs)) >> gather
        start >> says("other", lambda c: ("other", c.inputs["items"])) >> gather

        assert await got(start) == [("work", 1), ("work", 2), ("other", [1, 2])]

    async def test_two_maps_into_one_join(self) -> None:
        start, gather = Does(lambda context: {"a": [1, 2], "b": {"x": 3}}, name="start"), Gather()
        start.each("a") >> says("one", lambda c: ("one", c.inputs)) >> gather
        start.each("b") >> says("two", lambda c: ("two", c.inputs)) >> gather

        assert await got(start) == [("one", 1), ("one", 2), ("two", 3)]

    async def test_two_maps_of_one_node_to_one_worker(self) -> None:
        start, gather = Does(lambda context: {"a": [1, 2], "b": [3]}, name="start"), Gather()
        work = says("work", lambda c: c.inputs)
        start.each("a") >> work
        start.each("b") >> work
        work >> gather

        assert await got(start) == [1, 2, 3]

    async def test_a_node_may_be_reached_by_a_map_and_by_a_plain_edge(self) -> None:
        start, gather = split([1, 2]), Gather()
        work = says("work", lambda c: (c.index, c.inputs))
        start.each("items") >> work
        start >> work
        work >> gather

        assert sorted(await got(start), key=repr) == [(0, 1), (1, 2), (None, {"items": [1, 2]})]

    async def test_the_same_edge_declared_twice_is_one(self) -> None:
        start, gather = split([1, 2]), Gather()
        work = says("work", lambda c: c.inputs)
        for _ in range(2):
            start.each("items") >> work
        work >> gather

        assert await got(start) == [1, 2]

    async def test_a_join_as_the_worker_gets_the_items_themselves(self) -> None:
        start = split({"a": 1, "b": 2})
        start.each("items") >> Gather()

        assert await got(start) == [1, 2]

    async def test_the_start_as_the_worker(self) -> None:
        def work(context: NodeContext) -> Any:
            return {"items": [1, 2], "deep": False} if context.index is None else {"deep": True, "n": context.inputs}

        start, gather = says("start", work), Gather()
        start.on(deep=False).each("items") >> start
        start.on(deep=True) >> gather

        assert await got(start) == [{"deep": True, "n": 1}, {"deep": True, "n": 2}]

    async def test_only_outputs_that_match_are_mapped_over(self) -> None:
        start, gather = Does(lambda context: {"kind": "batch", "items": [1]}, name="start"), Gather()
        start.on(kind="batch").each("items") >> says("work", lambda c: c.inputs) >> gather
        start.on(kind="single").each("missing") >> says("never", lambda c: c.inputs) >> gather

        assert await got(start) == [1]

    async def test_a_map_in_a_loop(self) -> None:
        def again(context: NodeContext) -> Any:
            return {"items": [*context.inputs, len(context.inputs)], "more": len(context.inputs) < 4}

        class Again(JoinNode):
            async def process(self, context: NodeContext) -> Any:
                return again(context)

        start, work, join = split([0]), says("work", lambda c: c.inputs), Again(name="again")
        start.each("items") >> work >> join
        join.on(more=True).each("items") >> work
        join.on(more=False) >> says("end", lambda c: {"got": c.inputs["items"]})

        assert await got(start) == [0, 1, 2, 3, 4]


class TestNested:
    async def test_the_inner_join_gathers_for_each_outer_item(self) -> None:
        start, inner, outer = split([[1, 2], [], [3]]), Gather(name="inner"), Gather(name="outer")
        start.each("items") >> (middle := passing("middle"))
        middle.each("items") >> says("leaf", lambda c: (c.inputs, c.path, c.index)) >> inner >> outer

        assert await got(start) == [
            {"got": [(1, (0, 0), 0), (2, (0, 1), 1)], "path": (0,)},
            {"got": [], "path": (1,)},
            {"got": [(3, (2, 0), 0)], "path": (2,)},
        ]

    async def test_three_deep(self) -> None:
        items = {"a": [[1, 2], [3]], "b": [], "c": [[]]}
        start, nodes = split(items), [passing(name) for name in ("first", "second")]
        joins = [Gather(name=name) for name in ("inner", "middle", "outer")]
        start.each("items") >> nodes[0]
        nodes[0].each("items") >> nodes[1]
        nodes[1].each("items") >> says("leaf", lambda c: c.path) >> joins[0] >> joins[1] >> joins[2]
        for limit in (None, 1, 3):
            found = await got(start, max_concurrency=limit)

            assert [[one["got"] for one in each["got"]] for each in found] == [
                [[("a", 0, 0), ("a", 0, 1)], [("a", 1, 0)]],
                [],
                [[]],
            ]

    async def test_two_inner_maps_meet_at_one_join_for_each_outer_item(self) -> None:
        start, inner, outer = split([1, 2]), Gather(name="inner"), Gather(name="outer")
        middle = says("middle", lambda c: {"a": [c.inputs, c.inputs], "b": ["x"]})
        start.each("items") >> middle
        middle.each("a") >> says("one", lambda c: c.inputs) >> says("later", lambda c: c.inputs) >> inner
        middle.each("b") >> says("two", lambda c: c.inputs) >> inner
        inner >> outer

        assert [each["got"] for each in await got(start)] == [[1, 1, "x"], [2, 2, "x"]]

    async def test_a_map_within_itself(self) -> None:
        """As one walks a tree: a node maps over its own output, here until it is a thousand maps deep."""

        deep: list[int] = []

        class Deepest(JoinNode):
            async def process(self, context: NodeContext) -> Any:
                deep.append(len(context.path))
                return {"n": 0}

        node = says(
            "walk", lambda c: {"items": [{"n": c.inputs["n"] - 1}], "more": True} if c.inputs["n"] else {"n": 0}
        )
        node.on(more=True).each("items") >> node
        node.on(more=None) >> Deepest()
        await Graph(node).run({"n": 1_000})

        assert deep == [*range(999, -1, -1)]


class TestLimits:
    @pytest.mark.parametrize("limit", [1, 3, None])
    async def test_so_many_items_are_under_way_at_a_time(self, limit: int | None) -> None:
        under_way, most = Counter[int](), []

        async def begin(context: NodeContext) -> Any:
            under_way[context.index or 0] += 1
            most.append(len(under_way))
            await asyncio.sleep(0)
            return context.inputs

        async def end(context: NodeContext) -> Any:
            await asyncio.sleep(0)
            del under_way[context.index or 0]
            return context.inputs

        start = split(range(10) and [*range(10)])
        start.each("items", limit=limit) >> Does(begin, name="begin") >> Does(end, name="end") >> Gather()

        assert await got(start) == [*range(10)]
        assert max(most) == (limit or 10)

    async def test_max_concurrency_bounds_the_whole_run(self) -> None:
        running, most = set[int](), [0]

        async def work(context: NodeContext) -> Any:
            running.add(context.index or 0)
            most[0] = max(most[0], len(running))
            await asyncio.sleep(0)
            running.discard(context.index or 0)

        start = split([*range(10)])
        start.each("items", limit=5) >> Does(work, name="work") >> Gather()
        await Graph(start, max_concurrency=2).run()

        assert most == [2]

    async def test_items_that_are_under_way_get_on_before_many_more_begin(self) -> None:
        """With 100 items and one worker at a time, few have begun and not ended at any moment."""
        begun, ended, most = [0], [0], [0]

        def begin(context: NodeContext) -> Any:
            begun[0] += 1
            most[0] = max(most[0], begun[0] - ended[0])

        def end(context: NodeContext) -> Any:
            ended[0] += 1

        start = split([*range(100)])
        start.each("items") >> says("begin", begin) >> says("middle", lambda c: 1) >> says("end", end) >> Gather()
        await Graph(start, max_concurrency=1).run()

        assert most[0] <= 4

    async def test_without_a_limit_items_may_wait_for_each_other(self) -> None:
        barrier = asyncio.Barrier(1_000)

        async def meet(context: NodeContext) -> Any:
            await barrier.wait()

        start = split([None] * 1_000)
        start.each("items") >> Does(meet, name="meet") >> Gather()

        assert len(await asyncio.wait_for(got(start), timeout=60)) == 1_000

    async def test_items_that_wait_for_nothing_do_not_all_become_tasks_at_once(self) -> None:
        tasks: list[int] = []

        async def work(context: NodeContext) -> Any:
            if (context.index or 0) % 100 == 0:
                tasks.append(len(asyncio.all_tasks()))

        start = split([None] * 2_000)
        start.each("items") >> Does(work, name="work") >> Gather()
        await Graph(start).run()

        assert max(tasks) < 400

    async def test_a_map_does_not_keep_other_branches_waiting(self) -> None:
        """Nor do they keep it waiting: items and other steps take turns."""
        order: list[str] = []
        start = split([*range(5)])
        start.each("items") >> says("work", lambda c: order.append("item")) >> Gather()
        loop = says("loop", lambda c: order.append("loop") or {"more": len(order) < 20})
        loop.on(more=True) >> loop
        start >> loop
        await Graph(start, max_concurrency=1).run()

        assert order[:10].count("item") == 5

    async def test_a_budget_counts_each_execution(self) -> None:
        start = split([*range(10)])
        start.each("items") >> says("work", lambda c: c.inputs) >> Gather()
        graph = Graph(start)
        with pytest.raises(BudgetExceededError):
            await graph.run(Task(budget=Budget(max_iterations=5)))

        assert graph.progress is not None
        assert graph.progress.iteration == 5


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("output", "found"),
        [
            ({"itmes": []}, r"'items' is not among its keys, which are 'itmes'"),
            ({}, r"'items' is not among its keys, which are none"),
            ({"items": 3}, r"'items' is 3, of type int"),
            ({"items": "text"}, r"'items' is 'text', of type str"),
            ([1, 2], r"it is \[1, 2\], of type list"),
            (None, r"it is None, of type NoneType"),
        ],
    )
    async def test_an_output_without_the_list_fails_its_step(self, output: Any, found: str) -> None:
        start = Does(lambda context: output, name="start")
        start.each("items") >> says("work", lambda c: c.inputs) >> Gather()

        with pytest.raises(
            MapError, match=rf"Node 'start' maps over 'items' of its output, but {found}.*Return a dict"
        ):
            await Graph(start).run()

    @pytest.mark.parametrize("key", ["", 3, None])
    def test_a_key_is_text(self, key: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="give the key of the output's content"):
            split([]).each(key)

    @pytest.mark.parametrize("limit", [0, -1, True, 1.0, "2"])
    def test_a_limit_is_a_positive_number(self, limit: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="a limit is a positive whole number"):
            split([]).each("items", limit=limit)

    def test_on_error_is_one_of_two(self) -> None:
        with pytest.raises(GraphDefinitionError, match=r"give 'stop' .* or 'collect'"):
            split([]).each("items", on_error="skip")  # type: ignore[arg-type]

    def test_an_edge_maps_over_one_list(self) -> None:
        with pytest.raises(GraphDefinitionError, match="an edge maps over one list"):
            split([]).each("items").each("more")

    def test_what_is_collected_must_arrive_somewhere(self) -> None:
        start = split([])
        start.each("items", on_error="collect") >> says("work", lambda c: c.inputs)
        with pytest.raises(GraphDefinitionError, match="no join can be reached from 'work'"):
            Graph(start)


class TestCollecting:
    async def test_the_join_gets_an_error_in_the_place_of_the_result(self) -> None:
        start = split({"a": 1, "b": 0})
        start.each("items", on_error="collect") >> says("work", lambda c: 10 // c.inputs) >> Gather()
        ten, error = await got(start)

        assert ten == 10
        assert error == ItemError(
            index=1, key="b", error="ZeroDivisionError", message="integer division or modulo by zero", node="work"
        )

    async def test_an_item_fails_as_a_whole(self) -> None:
        """What its other branches did does not come to the join, and those that are running count no more."""
        gate = asyncio.Event()
        ended: list[str] = []

        async def slow(context: NodeContext) -> Any:
            await gate.wait()
            ended.append("slow")
            await context.graph_state.set("slow", True)

        async def fail(context: NodeContext) -> Any:
            asyncio.get_running_loop().call_soon(gate.set)
            raise ValueError("bad")

        start, gather = split([1]), Gather()
        work = says("work", lambda c: c.inputs)
        start.each("items", on_error="collect") >> work
        work >> [says("quick", lambda c: "quick"), Does(slow, name="slow"), Does(fail, name="fail")] >> gather
        graph = Graph(start)
        (error,) = (await graph.run()).content["got"]

        assert (error.node, ended) == ("fail", ["slow"])
        assert await graph.get_state("slow") is None

    async def test_a_failure_deep_inside_fails_the_innermost_item_that_collects(self) -> None:
        start, inner, outer = split([[1, 0, 2], [3]]), Gather(name="inner"), Gather(name="outer")
        start.each("items", on_error="collect") >> (middle := passing("middle"))
        middle.each("items", limit=2) >> says("leaf", lambda c: 6 // c.inputs) >> inner >> outer
        error, fine = await got(start)

        assert (error.index, error.node) == (0, "leaf")
        assert fine["got"] == [2]

    async def test_what_fails_as_the_step_is_committed_is_collected_too(self) -> None:
        start, inner, outer = split([[1], 5]), Gather(name="inner"), Gather(name="outer")
        start.each("items", on_error="collect") >> (middle := passing("middle"))
        middle.each("items") >> says("leaf", lambda c: c.inputs) >> inner >> outer
        fine, error = await got(start)

        assert fine["got"] == [1]
        assert (error.error, error.node) == ("spark.errors.MapError", "middle")

    async def test_an_error_is_nobody_elses(self) -> None:
        error = ItemError(index=0, key=None, error="E", message="m", node="n")
        with pytest.raises(AttributeError):
            error.index = 1  # type: ignore[misc]
