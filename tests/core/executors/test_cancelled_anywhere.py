"""A run that is cancelled at any message of a step elsewhere ends, leaves nothing behind, and continues where it was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.executors import Message, StepChannel, StepHandle, StepInput
from spark_testing.suites.executors.given import until
from tests.support.pickled_executor import PickledExecutor
from tests.support.variants import first_of

PAID: list[str] = []
LARGE = ["x" * 100] * 5_000


class SaysEverything(Node):
    async def process(self, context: NodeContext) -> Any:
        state = context.graph_state
        await context.emit(LARGE)
        kept = await state.get("kept")
        paid = await context.run("pay", pay, "one")
        await state.set("paid", paid)
        await state.append("parts", 1) if not await state.get("parts") else None
        await context.commit()
        await state.set("large", LARGE)
        await context.commit()
        keys = sorted(await state.keys())
        await context.sleep(0.001)
        await context.run("pay", pay, "other")
        return {"keys": keys, "kept": len(kept)}


def pay(what: str) -> str:
    PAID.append(what)
    return what


class Interrupts(PickledExecutor):
    """Calls something when the message with a number comes: before it is handled, or after it."""

    def __init__(self, at: int, call: Any, *, is_before: bool) -> None:
        super().__init__(threads=1)
        self.seen: list[Message] = []
        self._at = at
        self._call = call
        self._is_before = is_before

    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        loop, tell, ask = asyncio.get_running_loop(), channel.tell, channel.ask

        def sent(message: Message, hand_over: Any) -> None:
            self.seen.append(message)
            is_it = len(self.seen) == self._at
            if is_it and self._is_before:
                loop.call_soon_threadsafe(self._call)
            hand_over()
            if is_it and not self._is_before:
                loop.call_soon_threadsafe(self._call)

        channel.tell = lambda message: sent(message, lambda: tell(message)) if message[0] != "beat" else None  # type: ignore[method-assign]
        channel.ask = lambda message, reply: sent(message, lambda: ask(message, reply))  # type: ignore[method-assign]
        return await super().submit(step, channel)


@pytest.mark.parametrize("is_before", first_of([True, False]), ids=["before", "after"])
async def test_a_run_continues_wherever_it_was_cancelled(is_before: bool) -> None:
    messages = await cancelled_at(0, is_before=is_before)
    for at in range(1, messages + 1):
        await cancelled_at(at, is_before=is_before)

    assert messages > 12


async def cancelled_at(at: int, *, is_before: bool) -> int:
    """Cancel a run at a message, 0 for none, and continue it. Returns how many messages there were."""
    PAID.clear()
    config = CheckpointConfig(backend=InMemoryCheckpointBackend(), trigger_on_start=True)
    running: asyncio.Task[Any]

    def graph(executor: PickledExecutor) -> Graph:
        return Graph(SaysEverything(), id="g", state={"kept": LARGE}, executor=executor, checkpoint_config=config)

    with Interrupts(at, lambda: running.cancel(), is_before=is_before) as executor:
        running = asyncio.create_task(watched(graph(executor)))
        await asyncio.wait([running], timeout=60)
        assert running.done(), f"it hangs when it is cancelled at message {at}"
    if at:
        with PickledExecutor() as sound:
            await graph(sound).run(resume=True)
    checkpoint = await CheckpointManager(config.backend).load_latest("g")
    assert checkpoint is not None

    assert checkpoint.execution_metadata["reason"] == "completed"
    assert checkpoint.graph_state["parts"] == [1], f"a part is committed twice, cancelled at message {at}"
    assert max(map(PAID.count, PAID)) <= 2, f"a recorded call is repeated, cancelled at message {at}"
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()}, what=f"no task was left of message {at}")
    return len(executor.seen)


async def watched(graph: Graph) -> Any:
    async for _ in (stream := graph.stream(buffer=100)):
        pass
    return stream.message
