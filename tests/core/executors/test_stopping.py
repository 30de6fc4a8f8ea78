"""Runs and steps that stop while their work is elsewhere: what still begins, what counts, and who waits for what."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.executors import StepChannel, StepHandle, StepInput
from spark_testing.clock import FakeClock
from spark_testing.suites.executors import nodes
from spark_testing.suites.executors.stopping import Aging
from tests.support.pickled_executor import PickledExecutor, PickledStep


def at_once(error: Exception, attempt: int) -> float | None:
    return 0.0 if attempt < 3 else None


class Split(Node):
    async def process(self, context: NodeContext) -> Any:
        return {"items": list(range(40))}


class Item(Node):
    """The first has its run drained, or fails; the others count."""

    begun: list[int] = []  # noqa: RUF012 - of this process
    drain: Callable[[str], object] | None = None

    async def process(self, context: NodeContext) -> Any:
        self.begun.append(context.inputs)
        if context.inputs == 0 and Item.drain is None:
            raise LookupError("the first")
        if context.inputs == 0 and Item.drain is not None:
            Item.drain("enough")
        return context.inputs


class CommitsLate(Node):
    """At the first attempt, commits a part when it is cancelled."""

    async def process(self, context: NodeContext) -> Any:
        if context.attempt > 1:
            return "in time"
        context.heartbeat()
        try:
            await asyncio.Event().wait()
        finally:
            await context.graph_state.append("late", 1)
            await context.commit()


class GoesOn(Node):
    """Writes more while a part is committed."""

    async def process(self, context: NodeContext) -> Any:
        state = context.graph_state
        await state.set("a", 1)
        committing = asyncio.create_task(context.commit())
        await asyncio.sleep(0)
        await state.set("b", 2)
        await state.append("c", 3)
        await committing
        return await state.get("b")


class CancelsItself(Node):
    def process(self) -> None:
        raise asyncio.CancelledError


class OpensNothing(Node):
    def process(self) -> None:
        Path("/nowhere/at all").read_bytes()


def of_many(**options: Any) -> Graph:
    start = Split()
    start.each("items") >> Item() >> JoinNode()
    return Graph(start, **options)


async def test_items_that_wait_for_room_do_not_begin_when_another_has_failed() -> None:
    Item.begun.clear()
    with PickledExecutor(max_in_flight=2) as executor, pytest.raises(LookupError):
        await of_many(executor=executor).run()

    assert len(Item.begun) < 20


async def test_items_that_wait_for_room_do_not_begin_when_the_run_is_drained_and_do_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Item.begun.clear()
    config = CheckpointConfig(backend=InMemoryCheckpointBackend())
    with PickledExecutor(max_in_flight=2) as executor:
        graph = of_many(id="g", executor=executor, checkpoint_config=config)
        monkeypatch.setattr(Item, "drain", graph.drain)
        drained = await graph.run()
        begun = len(Item.begun)
        message = await of_many(id="g", executor=executor, checkpoint_config=config).run(resume=True)

    assert (drained.status, begun < 20) == ("drained", True)
    assert message.content == {"results": list(range(40))}
    assert sorted(Item.begun) == list(range(40))


async def test_what_a_step_commits_after_its_time_was_up_does_not_count() -> None:
    graph_store, clock = InMemoryCheckpointBackend(), FakeClock()
    with PickledExecutor() as executor:
        graph = Graph(
            CommitsLate(timeout=60, retry=at_once),
            id="g",
            executor=Aging(executor, clock, seconds=600),
            checkpoint_config=CheckpointConfig(backend=graph_store),
            clock=clock,
        )
        message = await graph.run()
    checkpoint = await CheckpointManager(graph_store).load_latest("g")

    assert message.content == "in time"
    assert "late" not in checkpoint.graph_state


async def test_what_a_step_writes_while_a_part_is_committed_is_committed_with_the_rest() -> None:
    store = InMemoryCheckpointBackend()
    with PickledExecutor() as executor:
        graph = Graph(GoesOn(), id="g", executor=executor, checkpoint_config=CheckpointConfig(backend=store))
        message = await graph.run()
    checkpoint = await CheckpointManager(store).load_latest("g")

    assert message.content == 2
    assert checkpoint.graph_state == {"a": 1, "b": 2, "c": [3]}


async def test_a_plain_node_that_raises_cancelled_error_has_failed_as_it_does_here() -> None:
    with PickledExecutor() as executor, pytest.raises(Exception, match="nobody cancelled the run"):
        await Graph(CancelsItself(), executor=executor).run()


async def test_an_error_of_the_system_keeps_its_type_and_its_file() -> None:
    with PickledExecutor() as executor, pytest.raises(FileNotFoundError) as caught:
        await Graph(OpensNothing(), executor=executor).run()

    assert caught.value.filename == "/nowhere/at all"


async def test_a_request_that_comes_at_the_end_of_a_step_gets_a_reply() -> None:
    """Or the worker would wait for it for ever."""
    replies: list[Any] = []

    class Asks(PickledExecutor):
        async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
            return AsksLast(self, await super().submit(step, channel), channel)

    class AsksLast(PickledStep):
        def __init__(self, executor: Any, handle: Any, channel: StepChannel) -> None:
            self.__dict__.update(handle.__dict__)

        async def result(self) -> Any:
            result = await super().result()
            self._channel._take(("prepare",), replies.append)  # type: ignore[attr-defined]
            return result

    with Asks() as executor:
        await Graph(nodes.Echo(), executor=executor).run()
        await asyncio.sleep(0)

    assert [is_right for is_right, _ in replies] == [False]


async def test_why_there_is_no_result_is_told_even_if_its_release_fails() -> None:
    class Loses(PickledExecutor):
        async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
            return Lost()

    class Lost(StepHandle):
        async def result(self) -> Any:
            raise LookupError("lost")

        async def cancel(self) -> None: ...

        def release(self) -> None:
            raise RuntimeError("nothing to release")

    with Loses() as executor, pytest.raises(LookupError, match="lost"):
        await Graph(nodes.Echo(), executor=executor).run()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_a_forked_process_does_not_wait_for_the_steps_of_the_other(tmp_path: Path) -> None:
    from spark.graphs.executors.room import room_of

    with PickledExecutor(max_in_flight=1) as executor:
        running = asyncio.create_task(Graph(nodes.Waits(), executor=executor).run({"file": str(tmp_path / "f")}))
        await executor.has_begun.wait()
        pid = os.fork()
        if not pid:
            os._exit(room_of(executor)._inside)
        _, status = os.waitpid(pid, 0)  # noqa: ASYNC222 - it ends at once
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert os.waitstatus_to_exitcode(status) == 0
