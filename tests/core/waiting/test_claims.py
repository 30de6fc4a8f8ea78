"""A claim on a graph id: one owner at a time, who is found out when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from spark.errors import BackendError, ClaimedError, GraphDefinitionError
from spark.graphs import Graph, Message, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    Claim,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.derived import claims
from spark.graphs.checkpoint.storage import derived_id
from spark_testing.children import Child, Tell
from spark_testing.clock import NEW_YEAR, FakeClock
from tests.plugins.support.kinds import store_of
from tests.support.running import Does, every_step

TTL = 30.0


@pytest.fixture(params=["memory", "file", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    async with store_of(request.param, request, tmp_path) as made:
        yield made


class Worker:
    """Runs a graph of two steps, of which the first ends when it is told to."""

    def __init__(self, store: CheckpointBackend, clock: FakeClock, *, name: str = "worker", every: int = 1) -> None:
        self.store = store
        self.clock = clock
        self.name = name
        self.every = every
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.calls: list[str] = []

    def graph(self) -> Graph:
        first, second = Does(self._first, name="first"), Does(self._second, name="second")
        first >> second
        config = CheckpointConfig(backend=self.store, trigger_on_iteration=self.every, trigger_on_start=True)
        return Graph(first, id="g", checkpoint_config=config, clock=self.clock)

    def run(self, **arguments: Any) -> asyncio.Task[Message]:
        claim = Claim(owner=self.name, ttl=TTL)
        return asyncio.create_task(self.graph().run(claim=claim, **arguments), name=f"run of {self.name}")

    async def _first(self, context: NodeContext) -> Any:
        self.calls.append("first")
        self.began.set()
        await self.may_end.wait()
        return {}

    async def _second(self, context: NodeContext) -> Any:
        self.calls.append("second")
        return self.name


class BeatingClock(FakeClock):
    """Knows when somebody sleeps on it."""

    def __init__(self) -> None:
        super().__init__()
        self._slept = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self._slept.set()
        await super().sleep(seconds)

    async def let_renew(self) -> None:
        """Let the time pass until the one claim is renewed, or was to be, and whoever does that sleeps again."""
        self._slept.clear()
        self.advance(TTL / 3)
        await asyncio.wait_for(self._slept.wait(), 60)


async def claimed(store: CheckpointBackend) -> list[int]:
    """The records of claims that are there."""
    return (await store.list(derived_id("claim", "g"))).sequences()


class TestOneOwner:
    async def test_others_are_refused_and_told_who_it_is(self, store: CheckpointBackend) -> None:
        clock = FakeClock()
        one, other = Worker(store, clock, name="one"), Worker(store, clock, name="other")
        run = one.run()
        await one.began.wait()

        with pytest.raises(ClaimedError, match="being run by 'one', since 2026-01-01 00:00:00 UTC") as refused:
            await other.run()
        assert (refused.value.owner, refused.value.since) == ("one", NEW_YEAR)
        assert refused.value.expires == NEW_YEAR + timedelta(seconds=2 * TTL)
        (row,) = await CheckpointManager(store, clock=clock).runs()
        assert (row.status, row.owner) == ("running", "one")

        one.may_end.set()
        assert (await run).content == "one"
        assert other.calls == []

    async def test_of_many_takers_exactly_one_wins(self, store: CheckpointBackend) -> None:
        workers = [Worker(store, FakeClock(), name=f"worker {number}") for number in range(8)]
        runs = [worker.run() for worker in workers]
        async with asyncio.timeout(60):
            while sum(run.done() for run in runs) < 7:  # noqa: ASYNC110 - whoever comes later may have a claim that was released
                await asyncio.sleep(0)
        for worker in workers:
            worker.may_end.set()
        results = await asyncio.gather(*runs, return_exceptions=True)

        assert sum(isinstance(result, Message) for result in results) == 1
        assert sum(isinstance(result, ClaimedError) for result in results) == 7

    async def test_nothing_is_left_when_the_run_has_ended(self, store: CheckpointBackend) -> None:
        before = asyncio.all_tasks()
        worker = Worker(store, FakeClock())
        run = worker.run()
        await worker.began.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

        assert await claimed(store) == []
        assert asyncio.all_tasks() == before
        worker.may_end.set()
        assert (await worker.run(resume=True)).status == "completed"
        assert await CheckpointManager(store).graph_ids() == ["g"]

    async def test_a_complete_run_and_a_failing_one_release_it_too(self) -> None:
        store = InMemoryCheckpointBackend()

        async def fails(context: NodeContext) -> Any:
            raise ArithmeticError

        graph = Graph(Does(fails, name="fails"), id="g", checkpoint_config=every_step(store))
        with pytest.raises(ArithmeticError):
            await graph.run(claim=True)
        with pytest.raises(ArithmeticError):
            await graph.run(claim=True, resume=True)
        assert await claimed(store) == []

    @pytest.mark.parametrize(
        ("claim", "message"),
        [("me", "give True, or a Claim"), (1, "give True, or a Claim"), (None, "give True, or a Claim")],
    )
    async def test_what_is_no_claim_is_refused(self, claim: Any, message: str) -> None:
        graph = Graph(Does(lambda context: 1, name="a"), checkpoint_config=every_step(InMemoryCheckpointBackend()))
        with pytest.raises(GraphDefinitionError, match=message):
            await graph.run(claim=claim)

    @pytest.mark.parametrize(
        "arguments", [{"ttl": 0}, {"ttl": True}, {"ttl": "30"}, {"owner": ""}, {"owner": "x" * 101}]
    )
    def test_a_claim_has_an_owner_and_a_time(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(GraphDefinitionError, match=next(iter(arguments))):
            Claim(**arguments)

    async def test_a_graph_without_a_store_can_not_be_claimed(self) -> None:
        with pytest.raises(GraphDefinitionError, match="no store in which others could see the claim"):
            await Graph(Does(lambda context: 1, name="a")).run(claim=True)


class TestHeartbeat:
    async def test_it_keeps_the_claim_with_few_records(self, store: CheckpointBackend) -> None:
        clock = BeatingClock()
        one, other = Worker(store, clock, name="one"), Worker(store, clock, name="other")
        run = one.run()
        await one.began.wait()
        for _ in range(9):
            await clock.let_renew()
            assert len(await claimed(store)) == 1

        with pytest.raises(ClaimedError):
            await other.run()
        one.may_end.set()
        await run

    async def test_an_owner_that_is_gone_is_followed_by_another(self, store: CheckpointBackend) -> None:
        clock, killed = FakeClock(), FakeClock()
        one, other = Worker(store, killed, name="one"), Worker(store, clock, name="other")
        run = one.run()  # its clock stands still, so it gives no sign of life
        await one.began.wait()
        other.may_end.set()
        clock.advance(2 * TTL - 1)
        with pytest.raises(ClaimedError):
            await other.run(resume=True)
        clock.advance(1)
        assert (await other.run(resume=True)).content == "other"

        one.may_end.set()
        with pytest.raises(Exception, match=r"stopped"):
            await run
        assert one.calls == ["first"]

    async def test_a_paused_owner_stops_before_it_pays_for_more(self, store: CheckpointBackend) -> None:
        """It wakes up in the middle of a step, and finds that somebody else has the graph."""
        clock, paused = FakeClock(), FakeClock()
        one, other = Worker(store, paused, name="one"), Worker(store, clock, name="other")
        run = one.run()
        await one.began.wait()
        clock.advance(2 * TTL)
        theirs = other.run(resume=True)
        await other.began.wait()

        paused.advance(2 * TTL)
        with pytest.raises(ClaimedError, match="taken over by 'other'"):
            await run
        assert one.calls == ["first"]
        other.may_end.set()
        assert (await theirs).content == "other"
        (row,) = await CheckpointManager(store).runs()
        assert row.status == "completed"

    async def test_it_finds_out_before_its_next_step_although_nothing_is_saved_there(self) -> None:
        """Its heart has not beaten yet when the step ends."""
        store, clock, paused = InMemoryCheckpointBackend(), FakeClock(), FakeClock()
        one, other = Worker(store, paused, name="one", every=100), Worker(store, clock, name="other")
        run = one.run()
        await one.began.wait()
        clock.advance(2 * TTL)
        theirs = other.run(resume=True)
        await other.began.wait()

        paused.seconds += 2 * TTL  # nobody who sleeps is woken
        one.may_end.set()
        with pytest.raises(ClaimedError, match="taken over by 'other'"):
            await run
        assert one.calls == ["first"]
        other.may_end.set()
        assert (await theirs).content == "other"

    async def test_whoever_takes_over_can_not_be_overwritten(self) -> None:
        """A checkpoint of theirs is there before their first step, so the one that was paused can't save any more."""
        store, clock = InMemoryCheckpointBackend(), FakeClock()
        one, other = Worker(store, FakeClock(), name="one"), Worker(store, clock, name="other")
        run = one.run()
        await one.began.wait()
        clock.advance(2 * TTL)
        theirs = other.run(resume=True)
        await other.began.wait()

        one.may_end.set()
        with pytest.raises(Exception, match="another process continued the same graph id"):
            await run
        other.may_end.set()
        assert (await theirs).content == "other"

    async def test_an_owner_that_is_started_again_goes_on_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        store = InMemoryCheckpointBackend()
        before, after = Worker(store, FakeClock(), name="worker-0"), Worker(store, FakeClock(), name="worker-0")
        run = before.run()
        await before.began.wait()
        with pytest.raises(ClaimedError):
            await after.run(resume=True)  # in the same process, it is somebody else

        monkeypatch.setattr(claims, "_PROCESS", "another")
        after.may_end.set()
        assert (await after.run(resume=True)).status == "completed"
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    async def test_a_process_of_this_machine_that_has_ended_holds_nobody_up(self, tmp_path: Path) -> None:
        store = FileCheckpointBackend(tmp_path)

        async def claims_and_dies(tell: Tell) -> None:
            worker = Worker(store, FakeClock(), name="killed")
            run = worker.run()
            await worker.began.wait()
            tell("running")
            await run

        child = Child.start(claims_and_dies)
        assert child.next_line() == "running"
        worker = Worker(store, FakeClock(), name="other")
        with pytest.raises(ClaimedError, match="killed"):
            await worker.run(resume=True)
        child.kill()
        worker.may_end.set()
        assert (await worker.run(resume=True)).content == "other"
        await store.close()

    async def test_a_run_whose_claim_can_not_be_renewed_stops_in_time(self) -> None:
        class Failing(InMemoryCheckpointBackend):
            fails = False

            async def put(self, record: Any) -> None:
                if self.fails:
                    raise BackendError("no connection")
                await super().put(record)

        store, clock = Failing(), BeatingClock()
        one = Worker(store, clock)
        run = one.run()
        await one.began.wait()
        store.fails = True
        for _ in range(2):
            await clock.let_renew()
        assert not run.done()
        clock.advance(TTL / 3)
        with pytest.raises(BackendError, match="no connection"):
            await run

    async def test_what_an_answer_lost_is_not_taken_for_another_owner(self) -> None:
        class Silent(InMemoryCheckpointBackend):
            loses = False

            async def put(self, record: Any) -> None:
                await super().put(record)
                if self.loses:
                    self.loses = False
                    raise BackendError("no answer")

        store, clock = Silent(), BeatingClock()
        one = Worker(store, clock)
        run = one.run()
        await one.began.wait()
        store.loses = True
        for _ in range(4):
            await clock.let_renew()
        one.may_end.set()
        assert (await run).status == "completed"
        assert await claimed(store) == []

    async def test_a_damaged_claim_holds_nobody_up(self) -> None:
        from spark_testing.records import make_record

        store = InMemoryCheckpointBackend()
        await store.put(make_record(derived_id("claim", "g"), 1, metadata={"owner": 7}))
        worker = Worker(store, FakeClock())
        worker.may_end.set()
        assert (await worker.run()).status == "completed"
