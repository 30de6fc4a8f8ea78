"""``graph.stream``: a run, as a loop over its events."""

from __future__ import annotations

import asyncio
import gc
import json
from datetime import UTC
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, RunError
from spark.graphs import Graph, JoinNode, Node, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.events import KINDS, Event, EventStream, RunFinished, RunResumed, StepCommitted, StepFailed


@node
async def count(context: NodeContext) -> dict[str, Any]:
    total = await context.graph_state.get("total", 0) + 1
    await context.graph_state.set("total", total)
    return {"more": total < 3}


count.on(more=True) >> count


def counting(**config: Any) -> Graph:
    given = CheckpointConfig(backend=InMemoryCheckpointBackend(), **config)
    return Graph(count, id="counting", checkpoint_config=given)


async def kinds_of(stream: EventStream) -> list[str]:
    return [event.kind async for event in stream]


class TestALoop:
    async def test_it_gives_the_events_of_a_run_in_order_and_its_message_at_the_end(self) -> None:
        @node
        async def first(context: NodeContext) -> dict[str, int]:
            await context.graph_state.set("total", 1)
            context.state["own"] = 1
            return {"n": 1}

        @node
        async def end(context: NodeContext) -> dict[str, int]:
            return {"n": context.inputs["n"] + 1}

        first >> end
        stream = Graph(first, id="counting").stream()
        events = [event async for event in stream]

        assert [event.kind for event in events] == [
            "run_started",
            "step_started",
            "step_committed",
            "step_started",
            "step_committed",
            "run_finished",
        ]
        committed = events[2]
        assert isinstance(committed, StepCommitted)
        assert (committed.node, committed.changed, committed.changed_own) == ("first", ("total",), ("own",))
        assert (committed.next, committed.iteration, committed.attempt) == (("end",), 1, 1)
        assert committed.time.tzinfo is UTC
        last = events[-1]
        assert isinstance(last, RunFinished)
        assert last.message is stream.message
        assert stream.message is not None
        assert stream.message.content == {"n": 2}
        assert {event.graph_id for event in events} == {"counting"}
        assert {event.run_id for event in events} == {stream.message.run_id}

    async def test_the_run_does_not_begin_before_the_loop_does(self) -> None:
        graph = counting()
        graph.stream()

        assert graph.progress is None
        await graph.run()

    async def test_what_a_node_commits_on_its_way_belongs_to_its_step(self) -> None:
        @node
        async def parts(context: NodeContext) -> dict[str, int]:
            await context.graph_state.set("one", 1)
            await context.commit()
            await context.graph_state.set("two", 2)
            return {}

        (committed,) = [event async for event in Graph(parts).stream(only=StepCommitted)]
        assert isinstance(committed, StepCommitted)
        assert committed.changed == ("one", "two")

    async def test_all_events_are_plain_data_that_json_can_write(self) -> None:
        @node
        async def speak(context: NodeContext) -> dict[str, Any]:
            await context.emit({"odd": {1, 2}, "nan": float("nan"), "object": object(), "deep": [[["x"]]]})
            if context.attempt == 1:
                raise ValueError("no")
            return {"object": {"a": 1}}

        graph = Graph(speak, retry=lambda error, attempt: 0 if attempt < 2 else None)
        events = [event async for event in graph.stream()]
        data = [json.loads(json.dumps(event.to_data(), allow_nan=False)) for event in events]

        assert [each["kind"] for each in data] == [event.kind for event in events]
        assert {"emitted", "step_failed", "step_retrying"} <= {event.kind for event in events}
        assert next(each for each in data if each["kind"] == "step_failed")["error"] == {
            "type": "ValueError",
            "message": "no",
        }
        assert all(type(event) is KINDS[event.kind] for event in events)

    async def test_events_of_the_items_of_a_map_say_which(self) -> None:
        class Split(Node):
            async def process(self, context: NodeContext) -> Any:
                return {"items": {"a": 1, "b": 2}}

        class Work(Node):
            async def process(self, context: NodeContext) -> Any:
                return context.inputs

        class Gather(JoinNode):
            async def process(self, context: NodeContext) -> Any:
                return {"sum": sum(context.inputs)}

        split, work, gather = Split(), Work(), Gather()
        split.each("items") >> work >> gather
        events = [event async for event in Graph(split).stream(only="step_committed", nodes="Work")]

        assert [(event.index, event.path) for event in events if isinstance(event, StepCommitted)] == [
            (0, ("a",)),
            (1, ("b",)),
        ]

    async def test_a_complete_run_gives_its_result_and_no_steps(self) -> None:
        graph = counting()
        await graph.run()
        stream = graph.stream(resume=True)
        events = [event async for event in stream]

        assert [event.kind for event in events] == ["run_resumed", "run_finished"]
        assert isinstance(events[0], RunResumed)
        assert events[0].checkpoint_id is not None
        assert stream.message is not None
        assert stream.message.content == {"more": False}


class TestErrors:
    async def test_the_error_of_a_run_is_raised_after_its_last_event(self) -> None:
        @node
        async def broken(context: NodeContext) -> None:
            raise ValueError("no")

        seen: list[Event] = []

        async def follow() -> None:
            async for event in Graph(broken).stream():
                seen.append(event)  # noqa: PERF401 - until it raises

        with pytest.raises(ValueError, match="no") as caught:
            await follow()

        failed, last = seen[-2:]
        assert isinstance(failed, StepFailed)
        assert isinstance(last, RunFinished)
        assert failed.then == "stop"
        assert (last.status, last.node, last.error) == ("failed", "broken", caught.value)

    async def test_a_run_that_can_not_begin_raises_and_has_no_events(self) -> None:
        stream = Graph(count).stream(resume=True)
        with pytest.raises(GraphDefinitionError, match="nothing to resume"):
            await kinds_of(stream)

    async def test_a_system_exit_ends_the_loop_and_not_the_event_loop(self) -> None:
        @node
        async def leaves(context: NodeContext) -> None:
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            await kinds_of(Graph(leaves).stream())

    async def test_a_stream_is_used_once(self) -> None:
        stream = Graph(count).stream()
        await kinds_of(stream)
        with pytest.raises(RunError, match="async with graph"):
            await kinds_of(stream)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"buffer": 0}, "at least 1"),
            ({"overflow": "drop"}, "'block' or 'drop_oldest'"),
            ({"commits": "soon"}, "'durable' or 'at_once'"),
            ({"only": "step_comitted"}, "kinds: 'run_started'"),
            ({"only": (int,)}, "classes of spark.graphs.events"),
            ({"only": 3}, "only=3: give classes"),
            ({"nodes": "cuont"}, "Did you mean 'count'"),
            ({"nodes": [count]}, "give the names of nodes"),
            ({"nodes": 3}, "give the names of nodes"),
        ],
    )
    async def test_a_wrong_argument_is_refused(self, arguments: Any, message: str) -> None:
        with pytest.raises(GraphDefinitionError, match=message):
            Graph(count).stream(**arguments)

    @pytest.mark.parametrize("name", ["bufer", "known"])
    async def test_an_unknown_option_is_refused(self, name: str) -> None:
        with pytest.raises(
            TypeError, match=f"^{name}=: there is no such option.*buffer, overflow, only, nodes, commits"
        ):
            Graph(count).stream(**{name: 3})  # type: ignore[misc]


class TestLeavingEarly:
    async def test_break_cancels_the_run_and_saves_it_and_a_later_run_waits_for_that(self) -> None:
        graph = counting()
        async for event in graph.stream(commits="at_once"):
            if event.kind == "step_committed":
                break
        message = await graph.run(resume=True)

        assert message.resumed
        assert await graph.get_state("total") == 3

    async def test_so_does_an_error_in_the_body_of_the_loop(self) -> None:
        graph = counting()

        async def follow() -> None:
            async for _ in graph.stream():
                raise KeyError

        with pytest.raises(KeyError):
            await follow()
        await graph.run(resume=True)

        assert not [task for task in asyncio.all_tasks() if "stream" in task.get_name()]

    async def test_break_with_the_stream_kept_does_the_same(self) -> None:
        graph = counting()
        stream = graph.stream()
        async for _ in stream:
            break
        await graph.run(resume=True)

        with pytest.raises(RunError, match="has been used"):
            await kinds_of(stream)

    async def test_aclose_returns_when_the_run_has_ended(self) -> None:
        graph, stopped = counting(), asyncio.Event()

        @node
        async def forever(context: NodeContext) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        graph = Graph(forever, id="forever", checkpoint_config=CheckpointConfig(backend=InMemoryCheckpointBackend()))
        async with graph.stream() as stream:
            async for event in stream:
                if event.kind == "step_started":
                    break
            assert not stopped.is_set()

        assert stopped.is_set()
        assert stream.message is None
        backend = graph.checkpoint_backend
        assert backend is not None
        assert (await backend.get("forever", 1)) is not None

    async def test_cancelling_who_loops_ends_the_run_before_it_raises(self) -> None:
        started, stopped = asyncio.Event(), asyncio.Event()

        @node
        async def forever(context: NodeContext) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        graph = Graph(forever)
        task = asyncio.create_task(kinds_of(graph.stream()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert stopped.is_set()
        assert graph.progress is not None
        assert graph.progress.running == ()

    def test_a_stream_that_is_left_when_the_event_loop_ends_leaves_nothing_behind(self) -> None:
        graph = counting()

        async def main() -> None:
            async for _ in graph.stream():
                return

        asyncio.run(main())
        gc.collect()

        assert asyncio.run(graph.run(resume=True)).status == "completed"

    async def test_several_loops_over_one_run_in_a_block(self) -> None:
        graph = counting()
        async with graph.stream(only=StepCommitted, commits="at_once") as stream:
            first = [await anext(aiter(stream))]
            rest = [event async for event in stream]

        assert [event.iteration for event in first + rest] == [1, 2, 3]
        assert stream.message is not None


class TestResuming:
    async def test_questions_and_answers(self) -> None:
        @node
        async def ask(context: NodeContext) -> dict[str, Any]:
            return {"answer": await context.interrupt("sure?")}

        graph = Graph(ask, id="ask", checkpoint_config=CheckpointConfig(backend=InMemoryCheckpointBackend()))
        stream = graph.stream()
        kinds = await kinds_of(stream)
        assert kinds[:4] == ["run_started", "step_started", "step_waiting", "checkpoint_made"]
        assert kinds[-2:] == ["interrupted", "run_finished"]
        assert stream.message is not None
        (question,) = stream.message.interrupts

        again = graph.stream(resume={question.id: "yes"})
        kinds = await kinds_of(again)
        assert kinds[0] == "run_resumed"
        assert kinds[-1] == "run_finished"
        assert again.message is not None
        assert again.message.content == {"answer": "yes"}

    async def test_a_drained_run_says_so(self) -> None:
        graph = counting()
        seen = []
        async for event in graph.stream(commits="at_once", buffer=1):
            seen.append(event.kind)
            if event.kind == "step_committed":
                graph.drain("enough")

        assert seen[-2:] == ["drained", "run_finished"]
