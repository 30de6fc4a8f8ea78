"""What is left of a run that is cancelled: the last boundary, in time, whatever cancels it and whatever the nodes do about it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from spark.errors import BudgetExceededError, GraphDefinitionError, NodeError
from spark.graphs import Budget, Graph, Node, NodeContext, Task
from spark.graphs.checkpoint import (
    Boundary,
    CheckpointConfig,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
    Trigger,
)
from spark.graphs.checkpoint.storage import Record
from spark_testing.clock import FakeClock
from tests.support.draining import until
from tests.support.loop_time import LoopTime
from tests.support.running import Does, Failure, history

DURABILITIES = pytest.mark.parametrize("durability", ["sync", "async", "exit"])


class Loop:
    """Counts in the state; at the third step it does what it is told to."""

    def __init__(self, third: Any) -> None:
        self._third = third
        self.reached = asyncio.Event()
        self.node = Does(self._step, name="loop")
        self.node.on(more=True) >> self.node

    async def _step(self, context: NodeContext) -> Any:
        await context.graph_state.update("count", lambda count: count + 1, 0)
        if context.iteration == 2:
            self.reached.set()
            await self._third()
        return {"more": context.iteration < 4}


async def forever() -> None:
    await asyncio.Event().wait()


async def deaf() -> None:
    """Ignores that it is cancelled, for longer than anybody waits; but not for ever, or a test that fails would never end."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 30
    while loop.time() < end:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(end - loop.time())


async def helper_is_cancelled() -> None:
    helper = asyncio.create_task(forever())
    helper.cancel()
    await helper


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


def graph_of(node: Node, **more: Any) -> Graph:
    """Rare triggers: nothing is saved on the way."""
    return Graph(node, id="g", checkpoint_config=CheckpointConfig(trigger_on_iteration=1000, **more))


def fan(*works: Any, **more: Any) -> Graph:
    start = Does(lambda context: {}, name="start")
    start >> [Does(work, name=name) for name, work in zip("abcdef", works, strict=False)]
    return graph_of(start, **more)


async def last(graph: Graph) -> tuple[str, Any, list[str]]:
    """Why the latest checkpoint was made, its count, and what was pending."""
    checkpoint = (await history(graph))[-1]
    assert checkpoint.frontier is not None
    pending = [token["node"] for token in checkpoint.frontier["tokens"].values()]
    return checkpoint.execution_metadata["reason"], checkpoint.graph_state.get("count"), pending


async def time_out(graph: Graph, *, when: Callable[[], object]) -> None:
    """Run it within a limit of time that is over a moment after this has become true, however slow the machine is.

    :raises TimeoutError: always.
    """
    async with asyncio.timeout(None) as limit:

        async def end() -> None:
            await until(when)
            for _ in range(20):
                await asyncio.sleep(0)  # by then, all nodes have begun
            limit.reschedule(0)

        ending = asyncio.create_task(end())
        try:
            await graph.run()
        finally:
            ending.cancel()
    raise AssertionError("the run has ended in time")


def runs(graph: Graph, number: int) -> Callable[[], bool]:
    """Whether so many steps of it are running."""
    return lambda: graph.progress is not None and len(graph.progress.running) == number


@DURABILITIES
async def test_a_timeout_saves_the_last_boundary_and_goes_on_as_it_was(durability: str) -> None:
    loop = Loop(forever)
    graph = graph_of(loop.node, durability=durability)

    with pytest.raises(TimeoutError) as caught:
        await time_out(graph, when=loop.reached.is_set)

    assert await last(graph) == ("cancelled", 2, ["loop"])
    (note,) = caught.value.__cause__.__notes__
    assert (await history(graph))[-1].checkpoint_id in note
    assert asyncio.all_tasks() == {asyncio.current_task()}


@DURABILITIES
async def test_however_often_it_is_cancelled_the_boundary_is_saved(durability: str) -> None:
    """As anyio does it: at every turn of the event loop, until the task has ended."""

    class Slow(InMemoryCheckpointBackend):
        async def put(self, record: Record) -> None:
            for _ in range(20):
                await asyncio.sleep(0)
            await super().put(record)

    loop = Loop(forever)
    graph = graph_of(loop.node, backend=Slow(), durability=durability)
    running = asyncio.create_task(graph.run())
    await loop.reached.wait()
    while not running.done():
        running.cancel()
        await asyncio.sleep(0)

    assert running.cancelled()
    assert await last(graph) == ("cancelled", 2, ["loop"])


@DURABILITIES
async def test_a_cancellation_while_the_end_is_saved_does_not_lose_it(durability: str) -> None:
    class Gate(InMemoryCheckpointBackend):
        def __init__(self) -> None:
            super().__init__()
            self.is_reached, self.may_go_on = asyncio.Event(), asyncio.Event()

        async def put(self, record: Record) -> None:
            self.is_reached.set()
            await self.may_go_on.wait()
            await super().put(record)

    backend = Gate()
    graph = graph_of(Does(lambda context: {"done": True}, name="only"), backend=backend, durability=durability)
    running = asyncio.create_task(graph.run())
    await backend.is_reached.wait()
    running.cancel()
    await asyncio.sleep(0)
    backend.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert (await last(graph))[0] == "completed"
    assert (await graph.run(resume=True)).content == {"done": True}


@DURABILITIES
def test_an_event_loop_that_ends_and_cancels_all_its_tasks_loses_nothing(durability: str) -> None:
    graph = None

    async def main() -> None:
        nonlocal graph
        loop = Loop(forever)
        graph = graph_of(loop.node, durability=durability)
        running = asyncio.create_task(graph.run())
        await loop.reached.wait()
        running.cancel()
        for _ in range(3):  # it is saving by now
            await asyncio.sleep(0)

    asyncio.run(main())

    assert graph is not None
    assert asyncio.run(last(graph)) == ("cancelled", 2, ["loop"])


def exits(context: NodeContext) -> Any:
    sys.exit(3)


class ExitsInThread(Node):
    def process(self) -> Any:
        sys.exit(3)


@pytest.mark.parametrize("node", [Does(exits, name="exits"), ExitsInThread(name="exits")], ids=["async", "thread"])
@pytest.mark.parametrize("is_parallel", [False, True])
async def test_an_exit_in_a_node_ends_the_run_as_it_is_and_saves_it(node: Node, is_parallel: bool) -> None:
    start = Does(lambda context: {}, name="start")
    start >> [node, *([Does(lambda context: forever(), name="waits")] if is_parallel else [])]
    graph = graph_of(start)

    with pytest.raises(SystemExit) as caught:
        await graph.run()

    reason, _, pending = await last(graph)
    assert caught.value.code == 3
    assert (reason, pending) == ("cancelled", ["exits", "waits"] if is_parallel else ["exits"])
    assert "node 'exits' failed" in caught.value.__notes__[0]


class Exits(Trigger):
    def is_due(self, boundary: Boundary) -> bool:
        sys.exit(3)


async def test_an_exit_in_a_trigger_ends_the_run_as_it_is_and_saves_it() -> None:
    start = Does(lambda context: {}, name="start")
    start >> Does(lambda context: {}, name="next")
    graph = Graph(start, checkpoint_config=CheckpointConfig(trigger=Exits()))

    with pytest.raises(SystemExit) as caught:
        await graph.run()

    assert caught.value.code == 3
    assert await last(graph) == ("cancelled", None, ["next"])


@pytest.mark.parametrize("works", [[deaf], [deaf, forever]], ids=["alone", "parallel"])
async def test_a_node_that_does_not_stop_holds_up_nobody_beyond_the_grace(works: list[Any]) -> None:
    graph = fan(*[lambda context, work=work: work() for work in works], cancel_grace=0.4)
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError) as caught:
        await time_out(graph, when=runs(graph, len(works)))

    assert asyncio.get_running_loop().time() - began < 20, "the node is deaf for thirty seconds"
    assert (await last(graph))[2] == ["a", "b"][: len(works)]
    assert any("'a' did not stop" in note for note in caught.value.__cause__.__notes__)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert len(left) == 1
    for task in left:  # pytest-asyncio would wait for it
        task.get_coro().close()  # type: ignore[union-attr]


async def test_a_node_that_does_not_stop_does_not_outlast_the_budget_either(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = asyncio.Event()

    async def slow_to_stop(context: NodeContext) -> Any:
        try:
            time.advance(0.01)
            await forever()
        except asyncio.CancelledError:
            stopped.set()
        await context.graph_state.set("finished", True)
        return {}

    time, start = LoopTime(monkeypatch), Does(slow_to_stop, name="start")
    start >> Does(lambda context: {}, name="next")
    graph = Graph(start, id="g", checkpoint_config=CheckpointConfig(), clock=FakeClock())  # only the timer ends it

    with pytest.raises(BudgetExceededError):
        await graph.run(Task(budget=Budget(max_seconds=0.01)))

    assert stopped.is_set()
    # It came to its end in time all the same, so that its work counts.
    assert (await last(graph))[2] == ["next"]
    assert await graph.get_state("finished") is True


async def test_what_has_finished_when_the_run_is_cancelled_counts() -> None:
    async def quick(context: NodeContext) -> Any:
        await context.graph_state.set(context.node, "paid for")
        running.cancel()

    graph = fan(quick, quick, lambda context: forever())
    running = asyncio.create_task(graph.run())
    with pytest.raises(asyncio.CancelledError):
        await running

    checkpoint = (await history(graph))[-1]
    assert checkpoint.graph_state == {"a": "paid for", "b": "paid for"}
    assert (await last(graph))[2] == ["c"]


@DURABILITIES
@pytest.mark.parametrize(
    ("how", "is_parallel"), [(helper_is_cancelled, False), (helper_is_cancelled, True), (cancels_itself, True)]
)
async def test_a_node_that_lets_a_cancellation_escape_has_failed(
    how: Callable[[], Awaitable[None]], is_parallel: bool, durability: str
) -> None:
    works = [lambda context: how(), *([lambda context: None] if is_parallel else [])]
    graph = fan(*works, durability=durability)

    with pytest.raises(
        NodeError, match="Node 'a' ended in CancelledError, although nobody cancelled the run"
    ) as caught:
        await graph.run()

    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert await last(graph) == ("failed", None, ["a"])
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("is_parallel", [False, True])
async def test_what_a_node_does_after_its_run_was_left_does_not_count(is_parallel: bool) -> None:
    may_end, has_ended = asyncio.Event(), asyncio.Event()

    async def stays(context: NodeContext) -> Any:
        await context.graph_state.set("late", True)
        while not may_end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await may_end.wait()
        has_ended.set()
        return {}

    graph = fan(stays, *([lambda context: forever()] if is_parallel else []), cancel_grace=0.02)
    with pytest.raises(TimeoutError):
        await time_out(graph, when=runs(graph, 1 + is_parallel))
    left = asyncio.all_tasks() - {asyncio.current_task()}
    may_end.set()
    await asyncio.wait(left)

    assert has_ended.is_set()
    assert graph.get_state_snapshot() == {}
    assert graph.create_checkpoint().execution_metadata["iteration"] == 1


async def test_a_step_that_is_cancelled_before_it_begins_has_failed() -> None:
    def cancels_the_other(context: NodeContext) -> None:
        for task in asyncio.all_tasks():
            if task.get_name() == "g/b":
                task.cancel()

    graph = fan(cancels_the_other, lambda context: forever())
    with pytest.raises(NodeError, match="Node 'b' ended in CancelledError"):
        await graph.run()

    assert await last(graph) == ("failed", None, ["b"])


@DURABILITIES
async def test_a_node_that_runs_alone_and_cancels_its_task_cancels_the_run(durability: str) -> None:
    graph = graph_of(Does(lambda context: cancels_itself(), name="alone"), durability=durability)

    with pytest.raises(asyncio.CancelledError):
        await graph.run()

    assert await last(graph) == ("cancelled", None, ["alone"])
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_nothing_new_starts_when_it_is_cancelled_while_a_checkpoint_is_being_saved() -> None:
    class Waits(InMemoryCheckpointBackend):
        async def put(self, record: Record) -> None:
            if not reached.is_set():
                reached.set()
                await go_on.wait()
            await super().put(record)

    reached, go_on, started = asyncio.Event(), asyncio.Event(), list[str]()
    first, second = (Does(lambda context: started.append(context.node), name=name) for name in ("first", "second"))
    first >> second
    config = CheckpointConfig(backend=Waits(), trigger_on_iteration=1)
    graph = Graph(first, id="g", checkpoint_config=config)
    run = asyncio.create_task(graph.run())
    await reached.wait()
    run.cancel()
    await asyncio.sleep(0)
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await run

    assert started == ["first"]
    assert [token["node"] for token in ((await history(graph))[-1].frontier or {})["tokens"].values()] == ["second"]
    reasons = [each.execution_metadata["reason"] for each in await history(graph)]
    assert reasons == ["trigger", "cancelled"], "what was being saved was not cut off"


def test_a_run_that_is_closed_and_not_awaited_to_its_end_stops_all_its_steps() -> None:
    """As the garbage collector does: then there is nobody who could wait."""
    loop = asyncio.new_event_loop()
    running = fan(lambda context: forever(), lambda context: forever()).run()
    task = loop.create_task(running)
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    steps = [each for each in asyncio.all_tasks(loop) if each is not task]
    running.close()
    loop.run_until_complete(asyncio.wait(steps, timeout=60))
    task.cancel()  # or asyncio tells that it was never awaited
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()

    assert len(steps) == 3
    assert all(each.done() for each in steps)


async def test_without_the_trigger_nothing_is_saved() -> None:
    loop = Loop(forever)
    graph = graph_of(loop.node, trigger_on_cancel=False)
    with pytest.raises(TimeoutError):
        await time_out(graph, when=loop.reached.is_set)

    assert await history(graph) == []


async def test_a_store_that_fails_does_not_hide_the_cancellation() -> None:
    class Broken(InMemoryCheckpointBackend):
        async def put(self, record: Record) -> None:
            raise OSError(28, "No space left on device")

    loop = Loop(forever)
    graph = graph_of(loop.node, backend=Broken())
    with pytest.raises(TimeoutError) as caught:
        await time_out(graph, when=loop.reached.is_set)

    assert "No space left on device" in caught.value.__cause__.__notes__[0]


async def test_what_a_node_raises_when_it_is_cancelled_does_not_hide_the_cancellation() -> None:
    async def turns_it(context: NodeContext) -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            raise Failure("instead") from None

    graph = fan(turns_it)
    with pytest.raises(TimeoutError):
        await time_out(graph, when=runs(graph, 1))

    assert (await last(graph))[::2] == ("cancelled", ["a"])


@pytest.mark.parametrize("grace", [0, -1, float("inf"), float("nan"), True, "5"])
def test_a_grace_is_a_positive_number(grace: Any) -> None:
    with pytest.raises(GraphDefinitionError, match="cancel_grace"):
        CheckpointConfig(cancel_grace=grace)


PROGRAM = """
import asyncio, signal, sys
from spark.graphs import Graph, Node
from spark.graphs.checkpoint import CheckpointConfig

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts tests in the background ignores it

class Step(Node):
    async def process(self, context):
        await context.graph_state.update("count", lambda count: count + 1, 0)
        if context.iteration == 2:
            print("reached", flush=True)
            await asyncio.Event().wait()
        return {}

step = Step()
step >> step
config = CheckpointConfig(backend=sys.argv[1], trigger_on_iteration=1000)
asyncio.run(Graph(step, id="g", checkpoint_config=config).run())
"""


def test_ctrl_c_saves_the_last_boundary(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reached\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=200)

    assert "KeyboardInterrupt" in told
    graph = Graph(
        Does(lambda context: {}, name="Step"),
        id="g",
        checkpoint_config=CheckpointConfig(backend=FileCheckpointBackend(tmp_path / "store")),
    )
    assert asyncio.run(last(graph)) == ("cancelled", 2, ["Step"])
