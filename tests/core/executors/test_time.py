"""Times are those of the run: neither the clock of a worker's machine nor the wait for a worker changes them."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spark.errors import StepTimeoutError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.executors import StepChannel, StepHandle, StepInput
from tests.support.pickled_executor import PickledExecutor

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class ClockElsewhere:
    """Years behind the one that workers have."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(asyncio.sleep)

    def __init__(self) -> None:
        self.now = LONG_AGO

    def utc_now(self) -> datetime:
        return self.now


class TakesAnHour(PickledExecutor):
    """Has no worker before an hour has passed."""

    def __init__(self, clock: ClockElsewhere) -> None:
        super().__init__()
        self._clock = clock

    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        self._clock.now += timedelta(hours=1)
        return await super().submit(step, channel)


class Sleeps(Node):
    async def process(self, context: NodeContext) -> Any:
        await context.sleep(60)


class WaitsForSomebody(Node):
    async def process(self, context: NodeContext) -> Any:
        await context.wait_for("note", timeout=60)


class Hangs(Node):
    async def process(self) -> Any:
        await asyncio.Event().wait()


@pytest.mark.parametrize("start", [Sleeps(), WaitsForSomebody()], ids=lambda node: type(node).__name__)
async def test_a_wait_begins_when_the_node_asks_for_it(start: Node) -> None:
    clock = ClockElsewhere()
    config = CheckpointConfig(backend=InMemoryCheckpointBackend())
    with TakesAnHour(clock) as executor:
        message = await Graph(start, id="g", executor=executor, checkpoint_config=config, clock=clock).run(wait=False)

    assert message.due is not None
    assert timedelta(0) <= message.due - (LONG_AGO + timedelta(hours=1, seconds=60)) < timedelta(minutes=10)


async def test_a_deadline_is_sent_as_seconds() -> None:
    clock = ClockElsewhere()
    with TakesAnHour(clock) as executor:
        with pytest.raises(StepTimeoutError):
            await Graph(Hangs(timeout=0.05), executor=executor, clock=clock).run()

        assert executor.steps[0].deadline == 0.05
