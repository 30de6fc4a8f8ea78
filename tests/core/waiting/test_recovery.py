"""Recovery at start-up: whatever is unfinished and can continue is resumed, each run by one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import CheckpointManager, Claim, InMemoryCheckpointBackend
from spark_testing.clock import FakeClock
from tests.support.running import Does, Failure, every_step, history

Work = Callable[[NodeContext], Any]


class Service:
    """A process that runs graphs of two steps, of which the second does what the graph's id says."""

    def __init__(self) -> None:
        self.store = InMemoryCheckpointBackend()
        self.clock = FakeClock()
        self.manager = CheckpointManager(self.store, clock=self.clock)
        self.done: list[str] = []
        self.under_way = 0
        self.most = 0
        self.began = asyncio.Event()
        self.one_began = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()
        self._dies = False

    def build(self, graph_id: str) -> Graph:
        begin, end = Does(lambda context: {}, name="begin"), Does(self._work, name="end")
        begin >> end
        return Graph(begin, id=graph_id, checkpoint_config=every_step(self.store), clock=self.clock)

    async def killed(self, graph_id: str) -> None:
        """Leave what a process leaves that is killed in the second step."""
        graph, self._dies = self.build(graph_id), True
        with pytest.raises(Failure):
            await graph.run()
        self._dies = False
        await self.store.delete(graph_id, (await history(graph))[-1].sequence or 0)

    async def _work(self, context: NodeContext) -> Any:
        kind = context.graph_id.partition(" ")[0]
        if kind == "sleeps":
            await context.sleep(3600)
        elif kind == "hears":
            await context.wait_for("go")
        elif kind == "asks":
            await context.interrupt("?")
        elif kind == "fails" or self._dies:
            raise Failure(kind)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.began.set()
        self.one_began.release()
        await asyncio.sleep(0)
        await self.gate.wait()
        self.under_way -= 1
        self.done.append(context.graph_id)
        return kind


async def test_what_can_go_on_is_resumed_and_nothing_else() -> None:
    service = Service()
    await service.killed("killed")
    await service.build("completed").run()
    await service.build("sleeps").run(wait=False)
    await service.build("asks").run()
    with pytest.raises(Failure):
        await service.build("fails").run()
    service.done.clear()

    recovery = await service.manager.resume_all(service.build)
    assert {id: message.status for id, message in recovery.resumed.items()} == {"killed": "completed"}
    assert (recovery.failed, recovery.skipped, service.done) == ({}, {}, ["killed"])

    service.clock.advance(3600)
    recovery = await service.manager.resume_all(service.build)
    assert {id: message.content for id, message in recovery.resumed.items()} == {"sleeps": "sleeps"}

    recovery = await service.manager.resume_all(service.build, status="failed")
    assert [*recovery.failed] == ["fails"]
    assert isinstance(recovery.failed["fails"], Failure)


async def test_a_message_lets_a_run_go_on_once() -> None:
    """One that its step does not wait for is looked at, and not looked for again and again."""
    service = Service()
    await service.build("hears").run(wait=False)
    await service.build("asks").run()
    assert (await service.manager.resume_all(service.build)).resumed == {}

    await service.manager.send("hears", "something else", 1)
    recovery = await service.manager.resume_all(service.build)
    assert {id: message.status for id, message in recovery.resumed.items()} == {"hears": "waiting"}
    assert (await service.manager.resume_all(service.build)).resumed == {}

    await service.manager.send("hears", "go", 2)
    (question,) = await service.manager.interrupts("asks")
    await service.manager.answer("asks", {question.id: 3})
    recovery = await service.manager.resume_all(service.build)
    assert {id: message.status for id, message in recovery.resumed.items()} == {
        "hears": "completed",
        "asks": "completed",
    }


async def test_at_most_so_many_are_under_way() -> None:
    service = Service()
    for number in range(7):
        await service.killed(f"killed {number}")
    service.gate.clear()
    resuming = asyncio.create_task(service.manager.resume_all(service.build, limit=3))
    for _ in range(3):
        await asyncio.wait_for(service.one_began.acquire(), 60)
    service.gate.set()
    assert (len((await resuming).resumed), service.most) == (7, 3)


async def test_one_that_can_not_be_built_does_not_stop_the_others() -> None:
    service = Service()
    for number in range(3):
        await service.killed(f"killed {number}")

    async def build(graph_id: str) -> Graph:
        if graph_id == "killed 0":
            raise LookupError("no such order")
        return service.build(graph_id if graph_id != "killed 1" else "another")

    recovery = await service.manager.resume_all(build)
    assert [*recovery.resumed] == ["killed 2"]
    assert {id: type(error) for id, error in recovery.failed.items()} == {
        "killed 0": LookupError,
        "killed 1": GraphDefinitionError,
    }


async def test_what_somebody_else_runs_is_left_alone() -> None:
    service, other = Service(), Service()
    other.store = service.store
    for number in range(2):
        await service.killed(f"killed {number}")
    other.gate.clear()
    theirs = asyncio.create_task(other.build("killed 0").run(resume=True, claim=Claim(owner="other")))
    await other.began.wait()

    recovery = await service.manager.resume_all(service.build)
    assert [*recovery.resumed] == ["killed 1"]
    assert recovery.skipped == {"killed 0": "it is being run by 'other'"}
    other.gate.set()
    assert (await theirs).status == "completed"


async def test_two_workers_share_the_work() -> None:
    """They begin at the same time, and find the same runs."""
    one, other = Service(), Service()
    other.store, other.manager = one.store, CheckpointManager(one.store)
    for number in range(10):
        await one.killed(f"killed {number}")
    found = await asyncio.gather(one.manager.resume_all(one.build), other.manager.resume_all(other.build))

    assert sorted(one.done + other.done) == [f"killed {number}" for number in range(10)]
    assert not any(recovery.failed for recovery in found)


async def test_a_young_run_that_nobody_claims_may_be_left_alone() -> None:
    service = Service()
    await service.killed("killed")
    minute = timedelta(minutes=1)
    recovery = await service.manager.resume_all(service.build, stale_after=minute)
    assert "somebody may be running it" in recovery.skipped["killed"]
    service.clock.advance(60)
    assert [*(await service.manager.resume_all(service.build, stale_after=minute)).resumed] == ["killed"]


async def test_it_is_stopped_by_draining() -> None:
    service = Service()
    for number in range(3):
        await service.killed(f"killed {number}")
    service.gate.clear()
    stop, before = asyncio.Event(), asyncio.all_tasks()
    resuming = asyncio.create_task(service.manager.resume_all(service.build, limit=1, stop=stop))
    await service.began.wait()
    stop.set()
    await asyncio.sleep(0)
    service.gate.set()

    recovery = await resuming
    assert asyncio.all_tasks() == before
    assert [*recovery.resumed] == ["killed 0"]
    assert [*recovery.skipped] == ["killed 1", "killed 2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"limit": 0}, "limit=0"), ({"claim": False}, "claim=False"), ({"status": "dead"}, "no run has this status")],
)
async def test_what_can_not_be_used_is_refused(arguments: dict[str, Any], message: str) -> None:
    service = Service()
    with pytest.raises(GraphDefinitionError, match=message):
        await service.manager.resume_all(service.build, **arguments)
