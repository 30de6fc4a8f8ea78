"""A run that is resumed: it begins with exactly what is stored, and nothing that was given is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, GraphRestoreError, InputConflictError, RunError, SerializationError
from spark.graphs import Graph, Node, NodeContext, Task
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from tests.support.running import Does, Failure, countdown, every_step, history

RARELY = {"trigger_on_iteration": 1000, "trigger_on_failure": False}


class Pages(Node):
    """Appends pages 1 to 6 to the state, and keeps count in its own; at its third page it can be cut off."""

    def __init__(self) -> None:
        self.cut_off: Callable[[], Any] | None = None

    async def process(self, context: NodeContext) -> Any:
        page = context.inputs.get("page", 0) + 1
        await context.graph_state.update("pages", lambda pages: [*pages, page], [])
        context.state["seen"] = context.state.get("seen", 0) + 1
        if page == 3 and self.cut_off is not None:
            await self.cut_off()
        return {"page": page, "more": page < 6, "seen": context.state["seen"]}


def pages(**more: Any) -> tuple[Pages, Graph]:
    loop = Pages()
    loop.on(more=True) >> loop
    config = CheckpointConfig(**{"backend": InMemoryCheckpointBackend(), **RARELY, **more})
    return loop, Graph(loop, id="pages", checkpoint_config=config)


class Unpicklable:
    """Can be copied, but not pickled."""

    def __deepcopy__(self, memo: Any) -> Unpicklable:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("it holds a connection")


async def fail() -> None:
    raise Failure("the service hung up")


async def be_cancelled() -> None:
    run = asyncio.current_task()
    assert run is not None
    run.cancel()
    await asyncio.sleep(0)


async def time_out() -> None:
    raise TimeoutError


async def cut_off(loop: Pages, graph: Graph, how: Callable[[], Any] = fail, **run: Any) -> None:
    loop.cut_off = how
    with pytest.raises((Failure, asyncio.CancelledError, TimeoutError)):
        await asyncio.create_task(graph.run(**run))
    loop.cut_off = None


async def unfinished(backend: InMemoryCheckpointBackend, **inputs: Any) -> None:
    """Leaves the first step of a run behind."""
    step = Does(fail_at_second, name="step")
    step.on(done=False) >> step
    with pytest.raises(Failure):
        await Graph(step, id="resuming", checkpoint_config=every_step(backend)).run(inputs)


async def fail_at_second(context: NodeContext) -> Any:
    if context.iteration == 1:
        raise Failure
    return {"done": False}


def passing(backend: InMemoryCheckpointBackend, **more: Any) -> Graph:
    """The same graph, whose step ends it."""
    step = Does(lambda context: {"got": context.inputs, "done": True}, name="step")
    step.on(done=False) >> step
    return Graph(step, id="resuming", checkpoint_config=every_step(backend), **more)


class TestTheStateOfARunThatIsTriedAgain:
    @pytest.mark.parametrize("how", [fail, be_cancelled, time_out])
    @pytest.mark.parametrize("again", [{}, {"resume": True}], ids=str)
    async def test_with_nothing_stored_it_is_what_the_graph_was_made_with(self, how: Any, again: Any) -> None:
        loop, graph = pages(trigger_on_cancel=False)
        await cut_off(loop, graph, how, **again)
        await cut_off(loop, graph, how, resume=True)

        message = await graph.run(resume=True)

        assert await graph.get_state("pages") == [1, 2, 3, 4, 5, 6]
        assert (message.content["seen"], message.resumed) == (6, False)

    async def test_with_a_checkpoint_it_is_what_that_holds(self) -> None:
        loop, graph = pages(trigger_on_iteration=2, trigger_on_cancel=False)
        loop.cut_off = fail
        for _ in range(2):
            with pytest.raises(Failure):
                await graph.run(resume=True)
        loop.cut_off = None

        message = await graph.run(resume=True)

        assert await graph.get_state("pages") == [1, 2, 3, 4, 5, 6]
        assert (message.content["seen"], message.resumed) == (6, True)

    async def test_what_set_state_changed_between_the_tries_is_kept(self) -> None:
        loop, graph = pages()
        await graph.set_state("source", "first")
        await cut_off(loop, graph)
        await graph.set_state("source", "second")

        await graph.run(resume=True)

        assert graph.get_state_snapshot() == {"source": "second", "pages": [1, 2, 3, 4, 5, 6]}

    async def test_a_restored_run_that_saved_nothing_begins_where_it_was_restored(self) -> None:
        loop, graph = pages(trigger_on_iteration=2)
        await graph.run()
        early = (await history(graph))[0]
        restored = Graph.from_checkpoint(early, start=loop, checkpoint_config=CheckpointConfig(**RARELY))
        await restored.set_state("edited", True)
        await cut_off(loop, restored)
        await cut_off(loop, restored, resume=True)

        message = await restored.run(resume=True)

        assert restored.get_state_snapshot() == {"pages": [1, 2, 3, 4, 5, 6], "edited": True}
        assert (message.content["seen"], message.run_id) == (6, early.execution_metadata["run_id"])

    async def test_without_resume_it_stays_as_it_was_at_the_last_boundary(self) -> None:
        loop, graph = pages()
        await cut_off(loop, graph)

        await graph.run()

        assert await graph.get_state("pages") == [1, 2, 1, 2, 3, 4, 5, 6]


class TestInputs:
    @pytest.mark.parametrize("given", [{}, {"day": "monday"}, Task(), Task(inputs={"day": "monday"})], ids=str)
    async def test_an_unfinished_run_goes_on_when_they_are_absent_or_equal(self, given: Any) -> None:
        backend = InMemoryCheckpointBackend()
        await unfinished(backend, day="monday")

        message = await passing(backend).run(given, resume=True)

        assert (message.content["got"], message.resumed) == ({"done": False}, True)

    async def test_a_complete_run_gives_its_result_when_they_are_absent_or_equal(self) -> None:
        backend = InMemoryCheckpointBackend()
        first = await passing(backend).run({"day": "monday"})

        for given in ({}, {"day": "monday"}):
            again = await passing(backend).run(given, resume=True)
            assert (again.content, again.node, again.run_id) == (first.content, first.node, first.run_id)
            assert (first.resumed, again.resumed) == (False, True)

    async def test_others_are_refused_and_the_graph_stays_as_it_was(self) -> None:
        backend = InMemoryCheckpointBackend()
        await passing(backend).run({"day": "monday", "same": 1})
        graph = passing(backend, state={"mine": 1})

        with pytest.raises(
            InputConflictError, match=r"complete run .* of graph 'resuming'.*differ in 'day'.*resume='state'"
        ):
            await graph.run({"day": "tuesday", "same": 1}, resume=True)

        assert graph.get_state_snapshot() == {"mine": 1}
        assert (await graph.run({"day": "tuesday"})).content["got"] == {"day": "tuesday"}

    async def test_others_do_not_reach_an_unfinished_run(self) -> None:
        backend = InMemoryCheckpointBackend()
        await unfinished(backend, day="monday")

        with pytest.raises(InputConflictError, match=r"unfinished run .* differ in 'day', 'more'. To finish it, leave"):
            await passing(backend).run({"day": "tuesday", "more": 1}, resume=True)

    @pytest.mark.parametrize(
        ("started", "given", "are_same"),
        [
            (1, True, False),
            (1, 1.0, False),
            ((1, 2), [1, 2], False),
            ((1, 2), (1, 2), True),
            ({"a", "b", "c"}, {"c", "b", "a"}, True),
            ({"x": 1, "y": 2}, {"y": 2, "x": 1}, True),
            ({1: "x", 2: "y"}, {2: "y", 1: "x"}, True),
            (float("nan"), float("nan"), True),
            (None, 0, False),
        ],
    )
    async def test_equal_means_the_same_value_of_the_same_type(self, started: Any, given: Any, are_same: bool) -> None:
        backend = InMemoryCheckpointBackend()
        await passing(backend).run({"value": started})
        again = passing(backend)

        if are_same:
            assert (await again.run({"value": given}, resume=True)).resumed
        else:
            with pytest.raises(InputConflictError):
                await again.run({"value": given}, resume=True)

    async def test_a_checkpoint_that_does_not_record_them_takes_none(self) -> None:
        """As those of earlier releases."""
        backend = InMemoryCheckpointBackend()
        await passing(backend).run({"day": "monday"})
        (checkpoint,) = await history(passing(backend))
        del checkpoint.config["inputs"]
        await checkpoint.save(backend)

        with pytest.raises(InputConflictError, match="does not record its inputs"):
            await passing(backend).run({"day": "monday"}, resume=True)
        assert (await passing(backend).run(resume=True)).content["got"] == {"day": "monday"}

    async def test_those_given_to_a_restored_graph_are_not_dropped(self) -> None:
        backend = InMemoryCheckpointBackend()
        await unfinished(backend, day="monday")
        checkpoint = (await history(passing(backend)))[-1]

        def restored() -> Graph:
            return Graph.from_checkpoint(checkpoint, start=passing(backend).start, checkpoint_config=CheckpointConfig())

        with pytest.raises(InputConflictError, match="unfinished"):
            await restored().run({"day": "tuesday"})
        assert (await restored().run({"day": "monday"})).resumed

    @pytest.mark.filterwarnings("ignore:Checkpoints in the pickle format are not signed")
    @pytest.mark.parametrize("format", ["json", "pickle"])
    async def test_those_that_can_not_be_saved_are_refused_before_anything_runs(self, format: str) -> None:
        """Every checkpoint records them, so none could be made."""
        backend = InMemoryCheckpointBackend(format=format)
        graph = passing(backend)

        with pytest.raises(SerializationError, match=r"inputs\['client'\]"):
            await graph.run({"client": fail if format == "json" else Unpicklable()})

        assert (graph.progress, (await backend.list("resuming")).infos) == (None, [])

    async def test_large_ones_are_stored_once(self, tmp_path: Path) -> None:
        """Every checkpoint records them, and a checkpoint costs what changed."""
        loop = Does(lambda context: {"more": context.iteration < 3}, name="loop")
        loop.on(more=True) >> loop
        async with FileCheckpointBackend(directory=str(tmp_path)) as backend:
            config = CheckpointConfig(backend=backend, trigger_on_iteration=1, max_checkpoints=3)
            graph = Graph(loop, id="resuming", checkpoint_config=config)
            await graph.run({"text": "x" * 100_000})
            await graph.run({"text": "y" * 100_000})
            infos = (await backend.list("resuming")).infos

            assert len(infos) == 3
            assert max(info.size for info in infos) < 2000
            assert len(await backend.blob_names("resuming")) == 1
            assert (await graph.run({"text": "y" * 100_000}, resume=True)).resumed
            with pytest.raises(InputConflictError):
                await graph.run({"text": "x" * 100_000}, resume=True)


class TestTheNextTurn:
    async def test_a_new_run_begins_with_new_inputs_in_the_stored_state(self) -> None:
        async def answer(context: NodeContext) -> Any:
            await context.graph_state.update("asked", lambda asked: [*asked, context.inputs["question"]], [])
            context.state["turns"] = context.state.get("turns", 0) + 1
            return {"turns": context.state["turns"], "iteration": context.iteration, "key": context.idempotency_key}

        backend = InMemoryCheckpointBackend()
        messages = []
        for question in "abc":  # a new process each time
            graph = Graph(Does(answer, name="answer"), id="resuming", checkpoint_config=every_step(backend))
            messages.append(await graph.run({"question": question}, resume="state"))

        assert await graph.get_state("asked") == ["a", "b", "c"]
        assert [message.content["turns"] for message in messages] == [1, 2, 3]
        assert [message.content["iteration"] for message in messages] == [0, 0, 0]
        assert len({message.run_id for message in messages}) == len({m.content["key"] for m in messages}) == 3
        assert not any(message.resumed for message in messages)
        assert [(one.sequence, one.parent) for one in await history(graph)] == [(1, None), (2, 1), (3, 2)]

    async def test_inputs_that_can_not_be_saved_leave_the_graph_as_it_was(self) -> None:
        _, graph = pages()
        complete = await graph.run()

        with pytest.raises(SerializationError):
            await graph.run({"page": object()}, resume="state")
        again = await graph.run(resume=True)

        assert (again.content, again.run_id, again.resumed) == (complete.content, complete.run_id, True)

    async def test_an_unfinished_run_is_not_cut_off(self) -> None:
        backend = InMemoryCheckpointBackend()
        await unfinished(backend, day="monday")
        graph = passing(backend)

        with pytest.raises(RunError, match=r"unfinished run.*still has to run 'step'.*run\(resume=True\)"):
            await graph.run({"day": "tuesday"}, resume="state")

        await graph.load()
        graph.start = graph.start  # the cure that the message names
        assert (await graph.run({"day": "tuesday"})).content["got"] == {"day": "tuesday"}

    async def test_pending_work_that_was_discarded_does_not_come_back(self) -> None:
        backend = InMemoryCheckpointBackend()
        await unfinished(backend, day="monday")
        checkpoint = (await history(passing(backend)))[-1]
        elsewhere = CheckpointConfig(backend=InMemoryCheckpointBackend())
        graph = Graph.from_checkpoint(checkpoint, start=passing(backend).start, checkpoint_config=elsewhere)

        graph.start = graph.start
        assert (await graph.run({"day": "tuesday"}, resume=True)).content["got"] == {"day": "tuesday"}

    async def test_it_is_saved_at_its_start_where_runs_are(self) -> None:
        backend = InMemoryCheckpointBackend()
        graph = passing(backend).with_checkpoints(CheckpointConfig(backend=backend, trigger_on_start=True))
        await graph.run({"day": "monday"})
        await graph.run({"day": "tuesday"}, resume="state")

        reasons = [checkpoint.execution_metadata["reason"] for checkpoint in await history(graph)]
        assert reasons == ["started", "completed"] * 2


class TestOneCheckpoint:
    async def test_a_run_goes_on_from_it(self) -> None:
        graph = Graph(countdown(), id="resuming", checkpoint_config=every_step(InMemoryCheckpointBackend()))
        await graph.run({"limit": 4})
        second = (await history(graph))[1]

        message = await graph.run(resume=second)

        assert (message.content["count"], message.resumed) == (4, True)
        assert [(one.sequence, one.parent) for one in await history(graph)][4:] == [(5, 2), (6, 5)]

    async def test_that_of_another_graph_is_refused(self) -> None:
        other = Graph(countdown(), id="other", checkpoint_config=CheckpointConfig())
        await other.run({"limit": 1})

        with pytest.raises(GraphRestoreError, match=r"belongs to graph 'other'.*checkpoint\.fork\('resuming'\)"):
            await Graph(countdown(), id="resuming").run(resume=(await history(other))[0])

    @pytest.mark.parametrize(
        ("resume", "message"),
        [
            ("latest", "give True to resume the latest run"),
            (None, "give True to resume the latest run"),
            (5, "give True to resume the latest run"),
        ],
        ids=str,
    )
    async def test_anything_else_is_refused(self, resume: Any, message: str) -> None:
        with pytest.raises(GraphDefinitionError, match=message):
            await Graph(countdown()).run({"limit": 1}, resume=resume)


class TestLoad:
    async def test_what_is_set_after_it_is_what_the_run_goes_on_with(self) -> None:
        backend = InMemoryCheckpointBackend()
        first = Graph(countdown(), id="resuming", checkpoint_config=every_step(backend))
        await first.run({"limit": 2})
        again = Graph(countdown(), id="resuming", checkpoint_config=every_step(backend))
        stored = (await history(again))[0]
        await stored.save(backend)  # the newest, now, with a step to do

        loaded = await again.load()
        await again.set_state("count", 40)
        message = await again.run()

        assert isinstance(loaded, GraphCheckpoint)
        assert loaded.graph_state == {"count": 1}
        assert (message.content["count"], message.resumed) == (41, True)

    async def test_without_it_what_was_set_is_not_lost_silently(self) -> None:
        backend = InMemoryCheckpointBackend()
        await unfinished(backend, day="monday")
        graph = passing(backend)
        await graph.set_state("limit", 5)

        for resume in (True, "state"):
            with pytest.raises(RunError, match=r"set_state\(\) set 'limit'.*await graph\.load\(\), then set_state\(\)"):
                await graph.run(resume=resume)  # type: ignore[arg-type]
        await graph.load()
        await graph.set_state("limit", 5)
        await graph.run(resume=True)

        assert await graph.get_state("limit") == 5

    async def test_what_was_set_and_is_stored_already_is_no_conflict(self) -> None:
        """A program that sets the same at every start."""
        backend = InMemoryCheckpointBackend()
        for _ in range(2):
            graph = passing(backend)
            await graph.set_state("source", ("a", 1))
            await graph.run({"day": "monday"}, resume=True)

        assert await graph.get_state("source") == ("a", 1)

    async def test_a_run_that_was_cut_off_after_it_goes_on_from_there_and_not_from_an_older_restored_one(self) -> None:
        loop, graph = pages(trigger_on_iteration=1)
        loop.cut_off = fail
        with pytest.raises(Failure):
            await graph.run()
        older = (await history(graph))[0]
        backend = graph.checkpoint_backend
        restored = Graph.from_checkpoint(older, checkpoint_config=CheckpointConfig(backend=backend, **RARELY))

        latest = await restored.load()
        with pytest.raises(Failure):
            await restored.run()
        loop.cut_off = None
        await restored.run(resume=True)

        assert older.graph_state == {"pages": [1]}
        assert latest is not None
        assert latest.graph_state == {"pages": [1, 2]}
        assert (await history(restored))[-1].parent == latest.sequence

    async def test_where_nothing_is_stored_it_returns_none_and_keeps_what_was_restored(self) -> None:
        _, graph = pages()
        await graph.run()
        complete = (await history(graph))[-1]
        empty = CheckpointConfig(backend=InMemoryCheckpointBackend())
        restored = Graph.from_checkpoint(complete, checkpoint_config=empty)

        assert await restored.load() is None
        assert (await restored.run()).content == {"page": 6, "more": False, "seen": 6}

    async def test_where_nothing_is_stored_what_was_set_counts(self) -> None:
        graph = passing(InMemoryCheckpointBackend())
        await graph.set_state("limit", 5)

        assert await graph.load() is None
        await graph.set_state("limit", 6)
        await graph.run(resume=True)

        assert await graph.get_state("limit") == 6

    async def test_once_a_run_has_stored_it_nothing_is_left_to_lose(self) -> None:
        _, graph = pages()
        await graph.set_state("pages", [0])
        await graph.run()
        await graph.run({"page": 4}, resume="state")

        assert await graph.get_state("pages") == [0, 1, 2, 3, 4, 5, 6, 5, 6]

    async def test_a_run_that_was_cut_off_does_not_lose_it_either(self) -> None:
        loop, graph = pages()
        await graph.run({"page": 4})
        await graph.load()
        graph.start = graph.start
        await graph.set_state("edited", True)
        await cut_off(loop, graph)

        with pytest.raises(RunError, match=r"set_state\(\) set 'edited'"):
            await graph.run(resume=True)

    async def test_a_complete_run_says_that_nothing_would_use_what_was_set(self) -> None:
        graph = passing(InMemoryCheckpointBackend())
        await graph.run({"day": "monday"})
        await graph.load()
        await graph.set_state("limit", 5)

        with pytest.raises(RunError, match=r"whose run is complete.*resume='state'"):
            await graph.run()
        await graph.run({"day": "tuesday"}, resume="state")

        assert await graph.get_state("limit") == 5

    async def test_nothing_else_is_done_with_the_graph_meanwhile(self) -> None:
        class Slow(InMemoryCheckpointBackend):
            async def get_latest(self, graph_id: str) -> Any:
                with pytest.raises(RunError, match="run has to wait"):
                    await graph.run()
                return await super().get_latest(graph_id)

        graph = passing(Slow())

        assert await graph.load() is None
        assert not (await graph.run()).resumed

    async def test_handlers_hear_of_it_when_the_run_begins(self) -> None:
        class Hears(CheckpointHandler):
            def __init__(self) -> None:
                self.states: list[Any] = []

            async def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
                self.states.append(checkpoint.graph_state)

        backend, hears = InMemoryCheckpointBackend(), Hears()
        await unfinished(backend, day="monday")
        graph = passing(backend).with_checkpoints(every_step(backend, handler=hears))
        await graph.load()
        await graph.set_state("edited", True)
        assert hears.states == []
        await graph.run()

        assert hears.states == [{}]
