"""A commit is all or nothing, and never loses what another step committed meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spark.errors import StateConflictError
from spark.graphs import Graph, NodeContext
from tests.support.running import Does, Failure, fan_out


class TestConflicts:
    def graph(self, *, read: bool) -> Graph:
        """Branch a reads or does not, waits until b has committed, and then sets the same key."""
        b_has_committed = asyncio.Event()

        async def a(context: NodeContext) -> None:
            if read:
                await context.graph_state.get("k")
            await b_has_committed.wait()
            await context.graph_state.set("k", "a")

        async def b(context: NodeContext) -> Any:
            await context.graph_state.set("k", "b")
            return {}

        graph = fan_out(a, b)
        graph.nodes["b"] >> Does(lambda context: b_has_committed.set(), name="after b")
        graph.start = graph.start  # built anew, with this edge
        return graph

    async def test_read_then_set_of_a_key_that_another_branch_committed_is_refused(self) -> None:
        graph = self.graph(read=True)

        with pytest.raises(StateConflictError) as caught:
            await graph.run()

        message = str(caught.value)
        assert "'a'" in message
        assert "'b'" in message
        assert "graph_state['k']" in message
        assert "await state.update('k', function)" in message
        assert await graph.get_state("k") == "b"

    async def test_of_blind_sets_the_last_commit_wins(self) -> None:
        graph = self.graph(read=False)

        await graph.run()

        assert await graph.get_state("k") == "a"

    async def test_the_same_key_read_by_steps_one_after_the_other_is_no_conflict(self) -> None:
        async def add_one(context: NodeContext) -> Any:
            await context.graph_state.set("n", await context.graph_state.get("n", 0) + 1)
            return {}

        first = Does(add_one, name="first")
        first >> Does(add_one, name="second") >> Does(add_one, name="third")
        graph = Graph(first)
        await graph.run()
        await graph.run()

        assert await graph.get_state("n") == 6

    async def test_reading_without_setting_is_no_conflict(self) -> None:
        b_has_committed = asyncio.Event()

        async def a(context: NodeContext) -> None:
            await context.graph_state.get("k")
            await b_has_committed.wait()
            await context.graph_state.set("other", "a")

        async def b(context: NodeContext) -> Any:
            await context.graph_state.set("k", "b")
            return {}

        graph = fan_out(a, b)
        graph.nodes["b"] >> Does(lambda context: b_has_committed.set(), name="after b")
        graph.start = graph.start  # built anew, with this edge
        await graph.run()

        assert graph.get_state_snapshot() == {"k": "b", "other": "a"}


class TestNodeState:
    async def test_it_is_a_mapping_kept_from_one_execution_to_the_next(self) -> None:
        seen: list[dict[str, Any]] = []

        def work(context: NodeContext) -> None:
            seen.append(dict(context.state))
            context.state["n"] = context.state.get("n", 0) + 1
            context.state.setdefault("list", []).append("lost: a get is a copy")
            context.state["gone"] = 1
            del context.state["gone"]
            assert "gone" not in context.state
            with pytest.raises(KeyError, match="gone"):
                del context.state["gone"]
            assert len(context.state) == 2

        graph = Graph(Does(work, name="only"))
        await graph.run()
        await graph.run()

        assert seen == [{}, {"n": 1, "list": []}]

    async def test_each_node_has_its_own(self) -> None:
        def work(context: NodeContext) -> Any:
            context.state["me"] = context.node
            return {}

        first = Does(work, name="first")
        first >> Does(work, name="second")
        graph = Graph(first)
        await graph.run()

        assert graph.create_checkpoint().node_states == {"first": {"me": "first"}, "second": {"me": "second"}}

    async def test_parallel_executions_of_one_node_that_read_and_set_it_conflict(self) -> None:
        """Losing one of two counts silently would be worse; the message says where a shared count belongs."""

        async def count(context: NodeContext) -> None:
            seen = context.state.get("n", 0)
            await asyncio.sleep(0)
            context.state["n"] = seen + 1

        start = Does(lambda context: {}, name="start")
        shared = Does(count, name="shared")
        for name in "ab":
            start >> Does(lambda context: {}, name=name) >> shared
        graph = Graph(start)

        with pytest.raises(StateConflictError, match=r"node_states\['shared'\]\['n'\].*context\.graph_state"):
            await graph.run()

    async def test_parallel_executions_of_one_node_that_set_different_keys_all_count(self) -> None:
        async def note(context: NodeContext) -> None:
            await asyncio.sleep(0)
            context.state[context.inputs["from"]] = True

        start = Does(lambda context: {}, name="start")
        shared = Does(note, name="shared")
        for name in "ab":
            start >> Does(lambda context: {"from": context.node}, name=name) >> shared
        graph = Graph(start)
        await graph.run()

        assert graph.create_checkpoint().node_states["shared"] == {"a": True, "b": True}


class TestCommit:
    async def test_a_node_that_fails_after_setting_commits_nothing(self) -> None:
        async def work(context: NodeContext) -> None:
            await context.graph_state.set("k", "new")
            await context.graph_state.update("n", lambda n: n + 1, 0)
            context.state["own"] = 1
            raise Failure

        graph = Graph(Does(work, name="only"), state={"k": "old"})
        with pytest.raises(Failure):
            await graph.run()
        checkpoint = graph.create_checkpoint()

        assert checkpoint.graph_state == {"k": "old"}
        assert checkpoint.node_states.get("only", {}) == {}

    async def test_a_node_state_conflict_commits_nothing_of_the_graph_state(self) -> None:
        """Both scopes are prepared before either is changed."""
        hurry = asyncio.Event()

        async def work(context: NodeContext) -> Any:
            first = context.inputs["first"]
            context.state["n"] = context.state.get("n", 0) + 1
            await context.graph_state.update("committed", lambda n: n + 1, 0)
            if first:
                hurry.set()
            else:
                await hurry.wait()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            return {}

        start = Does(lambda context: {}, name="start")
        shared = Does(work, name="shared")
        start >> Does(lambda context: {"first": True}, name="a") >> shared
        start >> Does(lambda context: {"first": False}, name="b") >> shared
        graph = Graph(start)
        with pytest.raises(StateConflictError):
            await graph.run()

        assert await graph.get_state("committed") == 1

    async def test_an_output_changed_after_the_return_changes_nothing(self) -> None:
        kept: list[dict[str, Any]] = []

        def first(context: NodeContext) -> Any:
            output = {"list": [1]}
            kept.append(output)
            return output

        def change(context: NodeContext) -> Any:
            kept[0]["list"].append("outside")
            context.inputs["list"].append("own copy")
            return context.inputs

        start = Does(first, name="first")
        start >> [Does(change, name="second"), Does(lambda context: seen.append(context.inputs), name="third")]
        seen: list[Any] = []
        await Graph(start).run()

        assert seen == [{"list": [1]}]
