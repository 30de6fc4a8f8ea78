"""State has value semantics, and changes at commits only."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest

from spark.errors import RunError, SerializationError, StateConflictError
from spark.graphs import Graph, Node, NodeContext, node
from spark.graphs.state.transactions import StateStore, StateTransaction, TransactionBlock
from spark.graphs.state.updates import DELETED
from tests.support.running import Does, Failure, Work, fan_out


async def run_alone(work: Work, **state: Any) -> Graph:
    """A graph of one node, after its run."""
    graph = Graph(Does(work, name="only"), state=state)
    await graph.run()
    return graph


async def test_what_you_get_is_yours() -> None:
    async def work(context: NodeContext) -> None:
        (await context.graph_state.get("list")).append("changed in place")
        (await context.graph_state.get("list"))[0].append("deeper")

    graph = await run_alone(work, list=[[1]])

    assert graph.get_state_snapshot() == {"list": [[1]]}


async def test_what_you_set_is_a_snapshot() -> None:
    async def work(context: NodeContext) -> None:
        value = {"a": [1]}
        await context.graph_state.set("k", value)
        value["a"].append("too late")

    graph = await run_alone(work)

    assert await graph.get_state("k") == {"a": [1]}


async def test_a_default_that_is_returned_is_not_kept() -> None:
    async def work(context: NodeContext) -> None:
        default: list[int] = []
        (await context.graph_state.get("k", default)).append(1)
        assert default == []

    graph = await run_alone(work)

    assert graph.get_state_snapshot() == {}


async def test_peek_shares_what_is_committed() -> None:
    """It exists for large values that are only read, so it must not copy."""
    seen: list[Any] = []

    async def work(context: NodeContext) -> None:
        seen.append(await context.graph_state.peek("k"))
        seen.append(await context.graph_state.peek("k"))
        assert await context.graph_state.peek("missing", "default") == "default"

    await run_alone(work, k=[1])

    assert seen[0] is seen[1]


async def test_a_step_sees_its_own_writes_and_others_do_not() -> None:
    a_has_written, b_has_looked = asyncio.Event(), asyncio.Event()
    seen: dict[str, Any] = {}

    async def a(context: NodeContext) -> None:
        await context.graph_state.set("k", "new")
        seen["by a"] = await context.graph_state.get("k")
        a_has_written.set()
        await b_has_looked.wait()

    async def b(context: NodeContext) -> None:
        await a_has_written.wait()
        seen["by b"] = await context.graph_state.get("k")
        b_has_looked.set()

    await fan_out(a, b).run()

    assert seen == {"by a": "new", "by b": None}


async def test_delete_has_and_keys_speak_of_the_own_writes_too() -> None:
    async def work(context: NodeContext) -> None:
        state = context.graph_state
        assert await state.delete("old")
        assert not await state.delete("old")
        assert not await state.delete("never there")
        await state.set("new", 1)
        await state.update("counted", lambda n: n + 1, 0)
        assert await state.keys() == ["kept", "new", "counted"]
        assert await state.has("new")
        assert not await state.has("old")
        assert await state.get("old", "default") == "default"

    graph = await run_alone(work, old=1, kept=2)

    assert graph.get_state_snapshot() == {"kept": 2, "new": 1, "counted": 1}


async def test_a_deleted_key_can_be_set_and_updated_again() -> None:
    async def work(context: NodeContext) -> None:
        state = context.graph_state
        await state.delete("a")
        await state.set("a", "again")
        await state.delete("b")
        await state.update("b", lambda value: [*value, 1], [])

    graph = await run_alone(work, a="old", b=["old"])

    assert graph.get_state_snapshot() == {"a": "again", "b": [1]}


async def test_a_value_that_can_not_be_copied_is_refused_where_it_is_set() -> None:
    async def work(context: NodeContext) -> None:
        await context.graph_state.set("k", [threading.Lock()])

    with pytest.raises(SerializationError) as caught:
        await run_alone(work)

    assert caught.value.path == "graph_state['k'][0]"


async def test_an_output_that_can_not_be_copied_is_refused_with_the_node_named() -> None:
    graph = Graph(Does(lambda context: {"lock": threading.Lock()}, name="only"))

    with pytest.raises(SerializationError, match="the output of node 'only'"):
        await graph.run()


async def test_keys_are_strings() -> None:
    async def work(context: NodeContext) -> None:
        await context.graph_state.set(1, "x")  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="key is a string, not 1"):
        await run_alone(work)


class TestTransactions:
    async def test_a_transaction_that_raises_keeps_none_of_its_writes(self) -> None:
        async def work(context: NodeContext) -> None:
            state = context.graph_state
            await state.set("a", 1)
            with suppress(Failure):
                async with state.transaction() as inside:
                    await inside.set("a", 2)
                    await inside.set("b", 2)
                    await inside.delete("old")
                    await inside.update("n", lambda n: n + 1, 0)
                    raise Failure
            await state.update("n", lambda n: n + 10, 0)

        graph = await run_alone(work, old="kept")

        assert graph.get_state_snapshot() == {"old": "kept", "a": 1, "n": 10}

    async def test_a_transaction_that_ends_well_keeps_all_of_them(self) -> None:
        async def work(context: NodeContext) -> None:
            async with context.graph_state.transaction() as inside:
                await inside.set("a", 2)
                await inside.update("n", lambda n: n + 1, 0)

        graph = await run_alone(work)

        assert graph.get_state_snapshot() == {"a": 2, "n": 1}

    async def test_an_inner_transaction_rolls_back_alone(self) -> None:
        async def work(context: NodeContext) -> None:
            async with context.graph_state.transaction() as outer:
                await outer.set("a", "outer")
                with suppress(Failure):
                    async with outer.transaction() as inner:
                        await inner.set("a", "inner")
                        raise Failure
                await outer.set("b", "outer")

        graph = await run_alone(work)

        assert graph.get_state_snapshot() == {"a": "outer", "b": "outer"}

    @pytest.mark.parametrize("nested", [False, True])
    async def test_of_two_blocks_open_at_once_the_failing_one_takes_only_its_own_writes(self, nested: bool) -> None:
        async def work(context: NodeContext) -> None:
            state = context.graph_state
            both_wrote = asyncio.Barrier(2)

            async def block(name: str, *, fails: bool) -> None:
                async with state.transaction():
                    await state.set(name, "written")
                    await state.update("n", lambda n: n + 1, 0)
                    await state.delete(f"old {name}")
                    await both_wrote.wait()
                    assert sorted(await state.keys()) == sorted(
                        {"n", name, "before", "old good", "old bad"} - {f"old {name}"}
                    )
                    if fails:
                        raise Failure

            async def blocks() -> None:
                await state.set("before", 1)
                results = await asyncio.gather(
                    block("good", fails=False), block("bad", fails=True), return_exceptions=True
                )
                assert [type(result) for result in results] == [type(None), Failure]

            if nested:
                async with state.transaction():
                    await blocks()
            else:
                await blocks()

        graph = await run_alone(work, **{"old good": 1, "old bad": 1})

        assert graph.get_state_snapshot() == {"old bad": 1, "before": 1, "good": "written", "n": 1}

    async def test_a_block_reads_its_own_writes_and_what_is_around_it(self) -> None:
        seen: list[Any] = []

        async def work(context: NodeContext) -> None:
            state = context.graph_state
            await state.set("a", "step's")
            await state.update("n", lambda n: n + 1, 0)
            async with state.transaction() as inside:
                await state.update("n", lambda n: n * 10, 0)
                await inside.set("b", "block's")
                seen.append([await state.get(key) for key in "abnc"])
                await state.delete("a")
                seen.append([await inside.has("a"), await state.keys()])
            seen.append([await state.get("n"), await state.has("a")])

        await run_alone(work, c="committed", n=4)

        assert seen == [["step's", "block's", 50, "committed"], [False, ["c", "n", "b"]], [50, False]]

    async def test_what_two_blocks_read_and_then_set_is_a_conflict_and_not_lost(self) -> None:
        async def work(context: NodeContext) -> None:
            state = context.graph_state
            both_read = asyncio.Barrier(2)

            async def add_one() -> None:
                async with state.transaction():
                    count = await state.get("count")
                    await both_read.wait()
                    await state.set("count", count + 1)

            results = await asyncio.gather(add_one(), add_one(), return_exceptions=True)
            assert {type(result) for result in results} == {type(None), StateConflictError}

        assert (await run_alone(work, count=0)).get_state_snapshot() == {"count": 1}

    async def test_an_update_in_between_is_a_conflict_too(self) -> None:
        async def work(context: NodeContext) -> None:
            state = context.graph_state
            has_read, has_updated = asyncio.Event(), asyncio.Event()

            async def add_one() -> None:
                async with state.transaction():
                    count = await state.get("count")
                    has_read.set()
                    await has_updated.wait()
                    await state.set("count", count + 1)

            async def update() -> None:
                await has_read.wait()
                async with state.transaction():
                    await state.update("count", lambda count: count + 10)
                has_updated.set()

            results = await asyncio.gather(add_one(), update(), return_exceptions=True)
            assert [type(result) for result in results] == [StateConflictError, type(None)]

        assert (await run_alone(work, count=0)).get_state_snapshot() == {"count": 10}

    async def test_what_a_block_sets_replaces_earlier_updates(self) -> None:
        async def work(context: NodeContext) -> None:
            await context.graph_state.update("count", lambda count: count + 1)
            async with context.graph_state.transaction() as inside:
                await inside.set("count", 100)

        assert (await run_alone(work, count=0)).get_state_snapshot() == {"count": 100}

    async def test_a_run_inside_a_block_has_a_state_of_its_own(self) -> None:
        inner_states: list[Any] = []

        async def work(context: NodeContext) -> None:
            async def inner(inner_context: NodeContext) -> None:
                async with inner_context.graph_state.transaction():
                    await inner_context.graph_state.set("whose", "inner")
                    await context.graph_state.set("whose", "outer")

            async with context.graph_state.transaction():
                inner_states.append((await run_alone(inner)).get_state_snapshot())

        assert (await run_alone(work)).get_state_snapshot() == {"whose": "outer"}
        assert inner_states == [{"whose": "inner"}]

    async def test_a_block_that_outlives_the_one_around_it_says_that_its_writes_are_lost(self) -> None:
        async def work(context: NodeContext) -> None:
            state, may_end = context.graph_state, asyncio.Event()

            async def inner() -> None:
                async with state.transaction():
                    await state.set("a", 1)
                    await may_end.wait()

            async with state.transaction() as around:
                helper = asyncio.create_task(inner())
                await asyncio.sleep(0)
            may_end.set()
            with pytest.raises(RunError, match="ended after the one around it"):
                await helper
            with pytest.raises(RunError, match="This transaction block has ended"):
                await around.set("b", 1)

        assert (await run_alone(work)).get_state_snapshot() == {}


class TestAfterTheStep:
    """What is written when the step has ended can't be committed any more, so it must not look as if it were."""

    @pytest.mark.parametrize("was_used", [True, False])
    @pytest.mark.parametrize("fails", [True, False])
    async def test_state_is_neither_read_nor_written(self, was_used: bool, fails: bool) -> None:
        kept: list[NodeContext] = []

        async def work(context: NodeContext) -> None:
            kept.append(context)
            if was_used:
                await context.graph_state.set("during", 1)
                context.state["during"] = 1
            if fails:
                raise Failure

        graph = Graph(Does(work, name="only"))
        with suppress(Failure):
            await graph.run()
        state, own = kept[0].graph_state, kept[0].state
        for act in (
            lambda: state.set("after", 1),
            lambda: state.update("after", lambda n: 1),
            lambda: state.delete("during"),
            lambda: state.get("during"),
            lambda: state.transaction().__aenter__(),
        ):
            with pytest.raises(RunError, match=r"This step of node 'only' has ended.* would be lost"):
                await act()
        for act_now in (lambda: own.update(after=1), lambda: own.pop("during"), lambda: dict(own)):
            with pytest.raises(RunError, match="has ended"):
                act_now()

        assert repr(own) == "NodeState(of a step that has ended)"
        assert graph.get_state_snapshot() == ({"during": 1} if was_used and not fails else {})

    async def test_a_helper_task_that_outlives_its_step_is_told(self) -> None:
        helpers: list[asyncio.Task[None]] = []

        class Leaves(Node):
            async def process(self, context: NodeContext) -> None:
                next_runs = asyncio.Event()

                async def write_later() -> None:
                    async with context.graph_state.transaction():
                        await context.graph_state.set("a", 1)
                        await next_runs.wait()

                helpers.append(asyncio.create_task(write_later()))
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_soon(next_runs.set)

        leaves = Leaves()
        leaves >> Does(lambda context: asyncio.sleep(0.001), name="next")
        graph = Graph(leaves)
        await graph.run()

        with pytest.raises(RunError, match="This step of node 'Leaves'"):
            await helpers[0]
        assert graph.get_state_snapshot() == {}


class TestUpdate:
    async def test_updates_of_parallel_branches_all_count(self) -> None:
        async def add_one(context: NodeContext) -> None:
            await context.graph_state.update("n", lambda n: n + 1, 0)
            await asyncio.sleep(0)

        graph = fan_out(*[add_one] * 5)
        await graph.run()

        assert await graph.get_state("n") == 5

    async def test_it_is_applied_to_what_is_committed_at_the_commit(self) -> None:
        b_has_committed = asyncio.Event()

        async def a(context: NodeContext) -> None:
            await context.graph_state.update("log", lambda log: [*log, "a"], [])
            assert await context.graph_state.get("log") == ["a"]
            await b_has_committed.wait()

        async def b(context: NodeContext) -> Any:
            await context.graph_state.set("log", ["b"])
            return {"next": True}

        start = Does(lambda context: {}, name="start")
        start >> Does(a, name="a")
        start >> Does(b, name="b") >> Does(lambda context: b_has_committed.set(), name="after b")
        graph = Graph(start)
        await graph.run()

        assert await graph.get_state("log") == ["b", "a"]

    async def test_several_updates_of_one_key_are_applied_in_order(self) -> None:
        async def work(context: NodeContext) -> None:
            await context.graph_state.update("n", lambda n: n + 1, 1)
            await context.graph_state.update("n", lambda n: n * 10, 1)
            assert await context.graph_state.get("n") == 20

        graph = await run_alone(work)

        assert await graph.get_state("n") == 20

    async def test_changing_its_argument_in_place_changes_nothing_else(self) -> None:
        async def work(context: NodeContext) -> None:
            await context.graph_state.update("list", lambda value: value.append(1) or ["result"])
            assert await context.graph_state.peek("list") == ["result"]
            raise Failure

        graph = Graph(Does(work, name="only"), state={"list": []})
        with pytest.raises(Failure):
            await graph.run()

        assert graph.get_state_snapshot() == {"list": []}

    async def test_its_default_is_a_snapshot(self) -> None:
        async def work(context: NodeContext) -> None:
            default: list[str] = []
            await context.graph_state.update("k", lambda value: [*value, "x"], default)
            default.append("too late")

        graph = await run_alone(work)

        assert await graph.get_state("k") == ["x"]

    @pytest.mark.parametrize("is_set_before", [False, True])
    async def test_an_async_function_is_refused(self, is_set_before: bool) -> None:
        async def work(context: NodeContext) -> None:
            async def later(value: Any) -> Any:
                return value

            if is_set_before:
                await context.graph_state.set("k", 1)
            await context.graph_state.update("k", later)

        with pytest.raises(TypeError, match="takes a plain function, not an async one"):
            await run_alone(work)

    async def test_what_is_no_function_is_refused(self) -> None:
        async def work(context: NodeContext) -> None:
            await context.graph_state.update("k", 5)  # type: ignore[arg-type]

        with pytest.raises(TypeError, match=r"update\('k', …\) takes a function"):
            await run_alone(work)

    async def test_one_that_raises_at_the_commit_commits_nothing_of_its_step(self) -> None:
        async def work(context: NodeContext) -> None:
            await context.graph_state.set("set before", 1)
            context.state["own"] = 1
            await context.graph_state.update("k", lambda value: value["missing"])

        graph = Graph(Does(work, name="only"), state={"k": {}})
        with pytest.raises(KeyError):
            await graph.run()
        checkpoint = graph.create_checkpoint()

        assert checkpoint.graph_state == {"k": {}}
        assert checkpoint.node_states.get("only", {}) == {}


class TestBetweenRuns:
    async def test_get_state_and_snapshots_are_yours(self) -> None:
        graph = Graph(Node.__new__(Passing), state={"k": [1]})
        (await graph.get_state("k")).append(2)
        graph.get_state_snapshot()["k"].append(3)

        assert await graph.get_state("k") == [1]
        assert await graph.get_state("missing", "default") == "default"

    async def test_first_values_are_a_snapshot(self) -> None:
        first = {"k": [1]}
        graph = Graph(Passing(), state=first)

        first["k"].append(2)

        assert await graph.get_state("k") == [1]

    async def test_set_state_keeps_a_snapshot(self) -> None:
        graph = Graph(Passing())
        value = [1]
        await graph.set_state("k", value)
        value.append(2)

        assert await graph.get_state("k") == [1]

    async def test_set_state_is_refused_while_a_run_is_under_way(self) -> None:
        @node
        async def sets() -> None:
            await graph.set_state("k", 1)

        graph = Graph(sets, id="busy")

        with pytest.raises(RunError, match="Graph 'busy' is running, so set_state has to wait"):
            await graph.run()

    async def test_a_second_run_starts_with_the_state_of_the_first(self) -> None:
        async def add_one(context: NodeContext) -> None:
            await context.graph_state.update("n", lambda n: n + 1, 0)

        graph = Graph(Does(add_one, name="only"))
        await graph.run()
        await graph.run()

        assert await graph.get_state("n") == 2


class Passing(Node):
    async def process(self, context: NodeContext) -> Any:
        return context.inputs


async def test_a_block_may_set_what_it_read_after_hundreds_of_updates() -> None:
    transaction = StateTransaction(StateStore("graph_state"), "n")
    for _ in range(300):
        transaction.update("count", lambda count: count + 1, 0)
    block = TransactionBlock(transaction)
    block.write("count", block.read("count") + 1)
    block.merge()

    assert transaction.read("count") == 301


def test_deleting_a_key_that_is_not_there_changes_nothing() -> None:
    store = StateStore("graph_state", {"a": 1})
    before = store.capture()
    store.apply({"missing": DELETED}, writer="n")

    assert store.capture() is before
