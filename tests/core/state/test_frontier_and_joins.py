"""Tokens: which work is pending, in what order it starts, and when a join fires."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, GraphCheckpoint, InMemoryCheckpointBackend
from tests.support.running import Does, Ticking, countdown, history


class Recording:
    """Makes nodes that write down, outside the state, in which order they were executed, and with what."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.inputs: dict[str, list[Any]] = {}

    def node(self, name: str, output: Any = None, *, after: asyncio.Event | None = None) -> Node:
        async def work(context: NodeContext) -> Any:
            if after is not None:
                await after.wait()
            self.order.append(name)
            self.inputs.setdefault(name, []).append(context.inputs)
            return {"from": name} if output is None else output

        return Does(work, name=name)

    def join(self, name: str, output: Any = None) -> Node:
        return Gathers(self, name, output)


class Gathers(JoinNode):
    def __init__(self, recording: Recording, name: str, output: Any) -> None:
        super().__init__(name=name)
        self._recording = recording
        self._output = output

    async def process(self, context: NodeContext) -> Any:
        self._recording.order.append(context.node)
        self._recording.inputs.setdefault(context.node, []).append([one["from"] for one in context.inputs])
        return {"from": context.node} if self._output is None else self._output


@pytest.fixture
def recording() -> Recording:
    return Recording()


class TestFanOut:
    async def test_every_matching_edge_fires(self, recording: Recording) -> None:
        start = recording.node("start", {"kind": "x", "n": 1})
        start.on(kind="x") >> recording.node("a")
        start.on(kind="x", n=1) >> recording.node("b")
        start.on(kind="x", n=2) >> recording.node("c")
        start >> recording.node("d")
        await Graph(start).run()

        assert recording.order == ["start", "a", "b", "d"]

    async def test_higher_priority_first_then_in_order_of_declaration(self, recording: Recording) -> None:
        start = recording.node("start")
        for name, priority in [("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1)]:
            start.on(priority=priority) >> recording.node(name)
        await Graph(start, max_concurrency=1).run()

        assert recording.order == ["start", "b", "d", "a", "c", "e"]

    async def test_the_result_is_what_the_last_finishing_node_returned(self, recording: Recording) -> None:
        late = asyncio.Event()
        start = recording.node("start")
        start >> recording.node("slow", "slow's", after=late)
        start >> recording.node("quick") >> Does(lambda context: late.set(), name="releases")
        message = await Graph(start).run()

        assert (message.content, message.node, message.status) == ("slow's", "slow", "completed")

    async def test_a_node_finishes_where_none_of_its_edges_matches(self, recording: Recording) -> None:
        start = recording.node("start", {"go": False})
        start.on(go=True) >> recording.node("never")
        message = await Graph(start).run()

        assert message.node == "start"

    async def test_branches_run_at_the_same_time(self) -> None:
        barrier = asyncio.Barrier(3)

        async def meet(context: NodeContext) -> None:
            await barrier.wait()

        start = Does(lambda context: {}, name="start")
        start >> [Does(meet, name=name) for name in "abc"]

        await asyncio.wait_for(Graph(start).run(), timeout=60)

    async def test_the_branches_get_copies_of_one_output(self, recording: Recording) -> None:
        seen: list[Any] = []

        def change(context: NodeContext) -> None:
            seen.append(list(context.inputs["list"]))
            context.inputs["list"].append("mine")

        start = recording.node("start", {"list": [1]})
        start >> [Does(change, name=name) for name in "ab"]
        await Graph(start).run()

        assert seen == [[1], [1]]


class TestConcurrency:
    @pytest.mark.parametrize("limit", [1, 2, 3])
    async def test_no_more_nodes_run_at_once_than_allowed(self, limit: int) -> None:
        running, most = 0, 0

        async def work(context: NodeContext) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            for _ in range(3):
                await asyncio.sleep(0)
            running -= 1
            return {}

        start = Does(work, name="start")
        for number in range(6):
            start >> Does(work, name=f"first {number}") >> Does(work, name=f"second {number}")
        await Graph(start, max_concurrency=limit).run()

        assert most == limit

    async def test_a_plain_process_does_not_block_the_event_loop(self) -> None:
        """It waits for something that only the event loop can do."""
        released = threading.Event()
        thread_names: list[str] = []

        class Blocks(Node):
            def process(self) -> Any:
                thread_names.append(threading.current_thread().name)
                assert released.wait(60)
                return {"released": True}

        class Releases(Node):
            async def process(self) -> None:
                released.set()

        start = Does(lambda context: {}, name="start")
        start >> [Blocks(), Releases()]
        await Graph(start).run()

        assert thread_names != [threading.main_thread().name]

    async def test_a_loop_of_steps_that_never_wait_lets_others_have_the_event_loop(self) -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        await Graph(countdown(), clock=Ticking(0.01)).run({"limit": 50})
        ticking.cancel()

        assert ticks >= 40


class TestJoins:
    async def test_a_join_gets_everything_that_arrives_once(self, recording: Recording) -> None:
        start = recording.node("start")
        start >> [recording.node(name) for name in "abc"] >> recording.join("join")
        await Graph(start).run()

        assert recording.inputs["join"] == [["a", "b", "c"]]

    @pytest.mark.parametrize("finishing", list(itertools.permutations("abc")))
    async def test_what_arrives_is_in_the_order_of_the_nodes_whatever_finishes_first(
        self, recording: Recording, finishing: tuple[str, ...]
    ) -> None:
        may_end = {name: asyncio.Event() for name in "abc"}
        start = recording.node("start")
        branches = [recording.node(name, after=may_end[name]) for name in "abc"]
        start >> branches >> recording.join("join")
        running = asyncio.create_task(Graph(start).run())
        for name in finishing:
            await asyncio.sleep(0)
            may_end[name].set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await running

        assert recording.order == ["start", *finishing, "join"]
        assert recording.inputs["join"] == [["a", "b", "c"]]

    async def test_what_a_join_sends_has_the_place_of_the_first_that_arrived_there(self, recording: Recording) -> None:
        """Beside a branch of as many steps, behind which it would come by its age."""
        start, join, last = recording.node("start"), recording.join("join"), recording.join("last")
        behind = Does(lambda context: context.inputs, name="behind")
        start >> [recording.node("a"), recording.node("b")] >> join >> behind >> last
        start >> recording.node("c") >> recording.node("beside") >> behind
        await Graph(start).run()

        assert recording.inputs["last"] == [["join", "beside"]]

    async def test_a_join_does_not_wait_for_a_branch_that_was_not_taken(self, recording: Recording) -> None:
        start = recording.node("start", {"go": "a"})
        join = recording.join("join")
        start.on(go="a") >> recording.node("a") >> join
        start.on(go="b") >> recording.node("b") >> join
        await Graph(start).run()

        assert recording.inputs["join"] == [["a"]]

    async def test_a_join_waits_for_a_branch_that_ends_elsewhere_only_until_it_is_past(
        self, recording: Recording
    ) -> None:
        start = recording.node("start")
        join = recording.join("join")
        start >> recording.node("a") >> join
        long = recording.node("long")
        start >> long
        more = recording.node("more", {"turn": "away"})
        long >> more
        more.on(turn="in") >> join
        more.on(turn="away") >> recording.node("elsewhere")
        await Graph(start).run()

        assert recording.order[:4] == ["start", "a", "long", "more"]
        assert sorted(recording.order[4:]) == ["elsewhere", "join"]
        assert recording.inputs["join"] == [["a"]]

    async def test_a_join_without_any_arrival_never_runs(self, recording: Recording) -> None:
        start = recording.node("start", {"go": False})
        start.on(go=True) >> recording.join("join")
        message = await Graph(start).run()

        assert message.node == "start"
        assert "join" not in recording.order

    async def test_a_join_in_a_loop_fires_once_a_round(self) -> None:
        rounds: list[list[int]] = []

        class Round(Node):
            async def process(self, context: NodeContext) -> Any:
                return {"round": context.inputs.get("round", 0) + 1}

        class Collect(JoinNode):
            async def process(self, context: NodeContext) -> Any:
                rounds.append([one["round"] for one in context.inputs])
                return {"round": context.inputs[0]["round"], "again": len(rounds) < 3}

        begin, collect = Round(), Collect()
        begin >> [Does(lambda context: context.inputs, name=name) for name in "ab"] >> collect
        collect.on(again=True) >> begin
        await Graph(begin).run()

        assert rounds == [[1, 1], [2, 2], [3, 3]]

    async def test_a_join_as_the_start_runs_with_the_inputs(self) -> None:
        message = await Graph(JoinNode()).run({"x": 1})

        assert message.content == {"results": [{"x": 1}]}

    async def test_an_inner_join_comes_before_the_outer_one(self, recording: Recording) -> None:
        start, outer, inner = recording.node("start"), recording.join("outer"), recording.join("inner")
        start >> recording.node("a") >> outer
        start >> recording.node("b") >> [recording.node("b1"), recording.node("b2")] >> inner >> outer
        await Graph(start).run()

        assert recording.inputs["inner"] == [["b1", "b2"]]
        assert recording.inputs["outer"] == [["a", "inner"]]

    async def test_two_joins_that_reach_each_other_do_not_wait_for_each_other_forever(
        self, recording: Recording
    ) -> None:
        start = recording.node("start")
        first, second = recording.join("first", {"from": "first"}), recording.join("second", {"from": "second"})
        start >> recording.node("a") >> first
        start >> recording.node("b") >> second
        first.on(lambda content: len(recording.order) < 6) >> second
        second.on(lambda content: len(recording.order) < 6) >> first

        await asyncio.wait_for(Graph(start).run(), timeout=60)

        assert recording.inputs["first"][0] == ["a"]
        assert recording.inputs["second"][0] == ["b", "first"]

    @pytest.mark.parametrize("finishing", ["ab", "ba"])
    async def test_which_of_two_such_joins_goes_first_does_not_depend_on_what_finished_first(
        self, recording: Recording, finishing: str
    ) -> None:
        """Otherwise a run that is continued could take another way than the one that was interrupted."""
        may_end = {name: asyncio.Event() for name in "ab"}
        start, first, second = recording.node("start"), recording.join("first"), recording.join("second")
        start >> recording.node("a", after=may_end["a"]) >> first
        start >> recording.node("b", after=may_end["b"]) >> second
        first.on(lambda content: len(recording.order) < 5) >> second
        second.on(lambda content: len(recording.order) < 5) >> first
        running = asyncio.create_task(Graph(start).run())
        for name in finishing:
            may_end[name].set()
            for _ in range(5):
                await asyncio.sleep(0)
        await running

        assert recording.order == ["start", *finishing, "first", "second"]

    async def test_a_join_that_both_lead_to_waits_until_they_are_done(self, recording: Recording) -> None:
        """It is reached by joins that wait for each other, but does not lead back, so it must not go first."""
        start = recording.node("start")
        first, second, last = recording.join("first"), recording.join("second"), recording.join("last")
        start >> recording.node("quick") >> last
        start >> recording.node("a") >> first
        start >> recording.node("b") >> second
        first >> second
        second.on(lambda content: False) >> first
        second >> last
        await Graph(start).run()

        assert recording.order[-3:] == ["first", "second", "last"]
        assert recording.inputs["last"] == [["second", "quick"]] or recording.inputs["last"] == [["quick", "second"]]

    async def test_a_node_that_is_executed_twice_in_parallel_arrives_twice(self, recording: Recording) -> None:
        start, shared, join = recording.node("start"), recording.node("shared"), recording.join("join")
        start >> [recording.node("a"), recording.node("b")] >> shared >> join
        await Graph(start).run()

        assert recording.inputs["shared"] == [{"from": "a"}, {"from": "b"}]
        assert recording.inputs["join"] == [["shared", "shared"]]

    async def test_what_arrives_from_one_node_is_in_the_order_of_its_inputs_whatever_finishes_first(
        self, recording: Recording
    ) -> None:
        first_may_end = asyncio.Event()

        async def work(context: NodeContext) -> Any:
            await first_may_end.wait() if context.inputs["from"] == "a" else first_may_end.set()
            return context.inputs

        start, join = recording.node("start"), recording.join("join")
        start >> [recording.node("a"), recording.node("b")] >> Does(work, name="shared") >> join
        await Graph(start).run()

        assert recording.inputs["join"] == [["a", "b"]]

    async def test_what_the_rounds_of_a_loop_send_arrives_in_their_order_however_many_there_are(self) -> None:
        """Also where an early round takes longest, and a checkpoint is taken and continued from in the middle of it."""
        rounds = 1_000
        first_may_end = asyncio.Event()
        gathered: list[list[int]] = []

        async def begin(context: NodeContext) -> Any:
            number = context.inputs.get("round", 0) + 1
            return {"round": number, "more": number < rounds}

        async def work(context: NodeContext) -> Any:
            if context.inputs["round"] == rounds:
                first_may_end.set()
            if context.inputs["round"] == 1:
                await first_may_end.wait()
            return context.inputs

        class Gather(JoinNode):
            async def process(self, context: NodeContext) -> Any:
                gathered.append([one["round"] for one in context.inputs])

        def wired() -> Node:
            loop = Does(begin, name="loop")
            loop.on(more=True) >> loop
            loop >> Does(work, name="work") >> Gather()
            return loop

        backend = InMemoryCheckpointBackend()
        graph = Graph(wired(), id="g", checkpoint_config=CheckpointConfig(backend=backend, trigger_on_iteration=701))
        await graph.run()
        first = (await history(graph))[0]
        assert first.frontier is not None
        longest = max(len(json.dumps(token)) for token in first.frontier["tokens"].values())
        await Graph.from_checkpoint(first, start=wired(), checkpoint_config=CheckpointConfig(enabled=False)).run()

        assert gathered == [list(range(1, rounds + 1))] * 2
        assert longest < 200

    async def test_a_checkpoint_of_an_older_release_says_nothing_of_the_order_and_goes_on_by_ids(
        self, recording: Recording
    ) -> None:
        start, join = recording.node("start"), recording.join("join")
        start >> recording.node("a") >> join
        tokens = [
            {"id": id, "node": "join", "lineage": 1, "source": "a", "joined": False, "content": id - 3} for id in (4, 3)
        ]
        old = GraphCheckpoint(
            "old",
            "g",
            datetime.now(UTC),
            topology=Graph(start).create_checkpoint().topology,
            frontier={"next_token": 5, "tokens": tokens, "contents": [{"from": "first"}, {"from": "second"}]},
        )
        await Graph.from_checkpoint(old, start=start).run()

        assert recording.inputs["join"] == [["first", "second"]]


class TestIdempotencyKeys:
    async def test_each_step_and_each_run_has_another_one(self) -> None:
        keys: list[str] = []
        start = Does(lambda context: keys.append(context.idempotency_key) or {}, name="start")
        shared = Does(lambda context: keys.append(context.idempotency_key) or {}, name="shared")
        join = JoinNode()
        start >> [Does(lambda context: {}, name=name) for name in "ab"] >> shared >> join
        graph = Graph(start)
        await graph.run()
        await graph.run()

        assert len(keys) == 6
        assert len(set(keys)) == 6

    async def test_a_piece_of_work_keeps_its_key_whatever_finishes_first(self) -> None:
        """A service that saw the key before the crash must see it again for the same work, and for no other."""

        async def keys_when(*finishing: str) -> dict[str, str]:
            may_end = {name: asyncio.Event() for name in "ab"}
            keys: dict[str, str] = {}

            def waits(name: str) -> Callable[[NodeContext], Any]:
                async def work(context: NodeContext) -> Any:
                    await may_end[name].wait()
                    return {}

                return work

            def notes(context: NodeContext) -> None:
                keys[context.node] = context.idempotency_key.rpartition("/")[2]

            start = Does(lambda context: {}, name="start")
            for name in "ab":
                start >> Does(waits(name), name=name) >> Does(notes, name=f"after {name}")
            running = asyncio.create_task(Graph(start).run())
            for name in finishing:
                may_end[name].set()
                for _ in range(5):
                    await asyncio.sleep(0)
            await running
            return keys

        assert await keys_when("a", "b") == await keys_when("b", "a")
