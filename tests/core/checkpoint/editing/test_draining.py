"""A run is asked to drain from another process; nobody else is stopped by that."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    Claim,
    InMemoryCheckpointBackend,
)
from spark_testing.clock import FakeClock
from tests.support.running import Does, every_step

RUNS = """
import asyncio, sys
from datetime import timedelta
from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, Claim

@node
async def loop(context: NodeContext):
    print("began", flush=True)
    await asyncio.sleep(0.02)
    return {"more": context.iteration < 3_000}

@node
async def hears(context: NodeContext):
    print("began", flush=True)
    return await context.wait_for("go")

async def main(url, how):
    loop.on(more=True) >> loop
    config = CheckpointConfig(backend=url, trigger_on_iteration=1, signal_poll=0.1)
    graph = Graph(hears if how == "waits" else loop, id="g", checkpoint_config=config)
    message = await graph.run(claim=False if how == "waits" else Claim(ttl=0.6))
    print(message.status, message.reason, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("how", ["claims", "waits"])
async def test_a_run_in_another_process_is_drained(how: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUNS, url, how, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    assert run.stdout is not None
    assert await run.stdout.readline() == b"began\n"
    manager = CheckpointManager(url)
    async with asyncio.timeout(60):
        while not await manager.drain("g", "deployment"):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)  # it has not saved that it waits
        lines = (await run.stdout.read()).decode().split("\n")

    assert await run.wait() == 0
    assert lines[-2] == "drained deployment"
    assert [each.status for each in await manager.runs()] == ["drained"]
    await manager.backend.close()


def looping(store: CheckpointBackend, clock: FakeClock, *, sent: list[bool], steps: int = 4) -> Graph:
    """A run whose second step has somebody else ask it to drain, and of which each step takes three seconds."""

    async def step(context: NodeContext) -> Any:
        clock.advance(3)
        if context.iteration == 1 and not sent:
            sent.append(await CheckpointManager(store, clock=clock).drain("g", "please"))
        return {"more": context.iteration < steps}

    loop = Does(step, name="loop")
    loop.on(more=True) >> loop
    return Graph(loop, id="g", checkpoint_config=every_step(store), clock=clock)


async def test_a_run_without_a_claim_sees_it_at_a_checkpoint() -> None:
    store, clock, sent = InMemoryCheckpointBackend(), FakeClock(), list[bool]()

    message = await looping(store, clock, sent=sent, steps=9).run()

    assert sent == [True]
    assert (message.status, message.reason) == ("drained", "please")
    assert 2 <= (await CheckpointManager(store).runs())[0].iteration <= 4


async def test_what_nobody_took_does_not_stop_a_later_run() -> None:
    store, clock = InMemoryCheckpointBackend(), FakeClock()
    first, sent = looping(store, clock, sent=[], steps=2), list[bool]()
    await first.run()  # it was over before it looked

    again = await looping(store, clock, sent=[True], steps=9).run()
    resumed = await looping(store, clock, sent=[True], steps=9).run(resume=True)

    assert again.status == resumed.status == "completed"
    assert sent == []


async def test_a_request_to_an_earlier_call_of_a_run_does_not_stop_the_next_one() -> None:
    store, clock = InMemoryCheckpointBackend(), FakeClock()
    manager = CheckpointManager(store, clock=clock)

    async def step(context: NodeContext) -> Any:
        clock.advance(6)
        if context.iteration == 2 and not killed:
            killed.append(True)
            raise KeyboardInterrupt
        return {"more": context.iteration < 6}

    killed = list[bool]()
    loop = Does(step, name="loop")
    loop.on(more=True) >> loop
    graph = Graph(loop, id="g", checkpoint_config=every_step(store), clock=clock)
    with pytest.raises(KeyboardInterrupt):
        await graph.run()
    latest = (await manager.list_checkpoints("g"))[-1]
    await manager.delete_checkpoint(latest.checkpoint_id)  # it looks as if it had been killed
    assert await manager.drain("g", "too late")
    clock.advance(1)

    message = await graph.run(resume=True)

    assert message.status == "completed"


async def test_a_claim_that_another_run_has_taken_since_is_not_meant() -> None:
    store, clock = InMemoryCheckpointBackend(), FakeClock()
    manager = CheckpointManager(store, clock=clock)

    async def asks(context: NodeContext) -> Any:
        if context.iteration == 0:
            asked.append(await manager.drain("g", "the other one"))
        return await context.wait_for("go")

    asked = list[bool]()
    graph = Graph(Does(asks, name="asks"), id="g", checkpoint_config=every_step(store), clock=clock)
    drained = await graph.run(claim=Claim(owner="one"))
    await manager.send("g", "go", 1)
    asked.append(False)

    message = await Graph(
        Does(lambda context: context.wait_for("go"), name="asks"),
        id="g",
        checkpoint_config=every_step(store),
        clock=clock,
    ).run(resume=True, claim=Claim(owner="two"))

    assert (drained.status, drained.reason) == ("drained", "the other one")
    assert (message.status, message.content) == ("completed", 1)


async def test_a_message_that_is_for_the_run_is_none_for_its_steps() -> None:
    store = InMemoryCheckpointBackend()
    manager = CheckpointManager(store)

    async def hears(context: NodeContext) -> Any:
        return [await context.wait_for("go"), await context.wait_for("go")]

    config = CheckpointConfig(backend=store)
    graph = Graph(Does(hears, name="hears"), id="g", checkpoint_config=config)
    run = asyncio.create_task(graph.run())
    await manager.send("g", "go", 1)
    async with asyncio.timeout(60):
        while not await manager.drain("g"):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0)
    assert (await run).status == "drained"
    await manager.send("g", "go", 2)

    message = await graph.run(resume=True)

    assert message.content == [1, 2]
    latest = await manager.load_latest("g")
    assert latest is not None
    assert latest.frontier is not None
    assert latest.frontier["inbox"].get("left", {}) == {}
