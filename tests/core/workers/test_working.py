"""A worker: it takes up whatever can continue, as soon as it can, without reading all that is in the store."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from spark.errors import BackendError, GraphDefinitionError, RunError
from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import Claim, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import LatestHeaders
from tests.support.running import Failure
from tests.support.workers import Service, Store


class Panic(BaseException):
    """As Rust's panics are raised in Python."""


async def test_what_was_submitted_is_carried_out_and_the_worker_ends_when_it_is_idle() -> None:
    service = Service()
    for number in range(30):
        await service.build(f"order-{number}").submit()

    await asyncio.wait_for(service.work(idle_exit=0, limit=4), 60)

    assert {run.status for run in await service.manager.runs()} == {"completed"}
    assert [await service.ended() for _ in range(30)]


async def test_at_most_so_many_are_under_way_and_a_long_one_holds_up_no_other() -> None:
    under_way, most, gate, is_long_one_there = set[str](), 0, asyncio.Event(), asyncio.Event()

    async def work(context: NodeContext) -> str:
        nonlocal most
        under_way.add(context.graph_id)
        most = max(most, len(under_way))
        if context.graph_id == "long":
            is_long_one_there.set()
            await gate.wait()
        await asyncio.sleep(0)
        under_way.discard(context.graph_id)
        return "done"

    async with Service(work) as service:
        for graph_id in ("long", *(f"short-{number}" for number in range(9))):
            await service.build(graph_id).submit()
        service.begin(limit=3)
        ended = {(await service.ended())[0] for _ in range(9)}
        await asyncio.wait_for(is_long_one_there.wait(), 60)
        assert (ended, under_way) == ({f"short-{number}" for number in range(9)}, {"long"})
        assert 2 <= most <= 3
        gate.set()
        assert (await service.ended())[0] == "long"


async def test_what_comes_later_is_found_at_the_next_look() -> None:
    async with Service() as service:
        service.begin(every=5)
        await service.quiet()
        await service.build("order-1").submit()
        assert service.told.empty()
        service.clock.advance(6)
        assert (await service.ended())[0] == "order-1"


async def test_timers_and_messages_let_runs_go_on() -> None:
    async def work(context: NodeContext) -> Any:
        return await (context.sleep(100) if context.graph_id == "sleeps" else context.wait_for("go"))

    async with Service(work) as service:
        for graph_id in ("sleeps", "hears"):
            await service.build(graph_id).submit()
        service.begin(every=5)
        assert {(await service.ended())[1].status for _ in range(2)} == {"waiting"}
        await service.manager.send("hears", "go", 7)
        await service.quiet()
        service.clock.advance(6)
        name, message = await service.ended()
        assert (name, message.content) == ("hears", 7)
        await service.quiet()
        service.clock.advance(100)
        assert (await service.ended())[0] == "sleeps"


async def test_a_worker_looks_once_more_before_it_ends_because_it_is_idle() -> None:
    async with Service() as service:
        service.begin(every=60, idle_exit=5)
        await service.quiet()
        await service.build("order-1").submit()
        service.clock.advance(5)
        assert (await service.ended())[0] == "order-1"


async def test_its_last_look_is_not_followed_by_a_wait() -> None:
    service = Service(lambda context: service.clock.advance(1))
    await service.build("order-1").submit()

    await asyncio.wait_for(service.work(every=60, idle_exit=0), 60)  # on a clock that only the step moves


async def test_a_run_that_was_never_claimed_is_found_too() -> None:
    service = Service()
    graph = service.build("order-1")
    run = asyncio.create_task(graph.run())
    await asyncio.sleep(0)
    graph.drain()
    await run

    await asyncio.wait_for(service.work(idle_exit=0), 60)

    assert [run.status for run in await service.manager.runs()] == ["completed"]


async def test_a_look_costs_the_same_however_many_runs_are_complete() -> None:
    """Except for the first one, each reads what is open, and a page of the rest."""
    async with Service() as service:
        for number in range(400):
            await service.build(f"order-{number}").run()
        service.begin(every=5)
        await service.quiet()
        for number in range(3):
            service.store.read = 0
            await service.build(f"zzz-{number}").submit()
            service.clock.advance(6)
            assert (await service.ended())[0] == f"zzz-{number}"
            await service.quiet()
            assert service.store.read <= 300


async def test_a_run_that_failed_is_not_tried_again_and_again() -> None:
    """One whose graph can't even be built stays due."""

    class Broken(Service):
        def build(self, graph_id: str) -> Graph:
            raise Failure("no such order")

    service = Service()
    await service.build("order-1").submit()
    broken = Broken(store=service.store)
    async with broken:
        broken.begin(every=5)
        assert "no such order" in str((await broken.ended())[1])
        for seconds, is_tried in ((6, False), (6, False), (60, True)):
            broken.clock.advance(seconds)
            await broken.quiet()
            assert broken.told.empty() is not is_tried


@pytest.mark.parametrize("error", [SystemExit(3), Panic("in native code")], ids=["exit", "panic"])
@pytest.mark.parametrize("is_built", [True, False], ids=["in a node", "while it is built"])
async def test_a_run_whose_code_ends_programs_ends_no_other_run(error: BaseException, is_built: bool) -> None:
    gate = asyncio.Event()

    async def work(context: NodeContext) -> str:
        if context.graph_id == "bad":
            raise error
        await gate.wait()
        return "done"

    class Fragile(Service):
        def build(self, graph_id: str) -> Graph:
            if graph_id == "bad" and not is_built:
                raise error
            return super().build(graph_id)

    async with Fragile(work) as service:
        for graph_id in ("good", "bad"):
            await Service.build(service, graph_id).submit()
        service.begin(limit=2)
        name, failed = await service.ended()
        assert (name, type(failed), failed.__cause__) == ("bad", RunError, error)
        gate.set()
        assert (await service.ended())[0] == "good"


async def test_a_store_that_is_away_for_a_while_is_waited_for() -> None:
    async with Service() as service:
        service.begin(every=5)
        await service.quiet()
        service.store.is_away = True
        await InMemoryCheckpointBackend.put(service.store, await _queued("order-1", service))
        service.clock.advance(6)
        await service.quiet()
        service.store.is_away = False
        service.clock.advance(6)
        assert (await service.ended())[0] == "order-1"


async def test_a_store_that_is_away_from_the_beginning_is_an_error() -> None:
    service = Service()
    await service.build("order-1").submit()
    service.store.is_away = True
    with pytest.raises(BackendError, match="the store is away"):
        await asyncio.wait_for(service.work(idle_exit=0), 60)


async def test_it_is_stopped_by_draining_and_the_next_worker_finds_what_it_left() -> None:
    began, gate = asyncio.Event(), asyncio.Event()

    async def work(context: NodeContext) -> str:
        began.set()
        await gate.wait()
        return "done"

    service = Service(work)
    async with service:
        await service.build("order-1").submit()
        service.begin(grace=0)
        await began.wait()
    assert (await service.ended())[1].status == "drained"
    gate.set()
    next_one = Service(work, store=service.store)
    await asyncio.wait_for(next_one.work(idle_exit=0), 60)
    assert (await next_one.ended())[1].status == "completed"


async def test_two_workers_share_the_runs_and_none_is_run_twice() -> None:
    done = list[str]()

    async def work(context: NodeContext) -> str:
        done.append(context.graph_id)
        await asyncio.sleep(0)
        return "done"

    one = Service(work)
    other = Service(work, store=one.store)
    for number in range(40):
        await one.build(f"order-{number:02}").submit()

    both = (service.work(idle_exit=0, limit=5, claim=Claim(owner=name)) for service, name in ((one, "a"), (other, "b")))
    await asyncio.wait_for(asyncio.gather(*both), 60)

    assert sorted(done) == [f"order-{number:02}" for number in range(40)]


async def test_what_was_left_over_by_those_who_were_killed_is_removed() -> None:
    """A claim of a run that is over is no work, and is not read for ever."""
    async with Service() as service:
        await service.build("order-1").submit()
        await service.build("order-1").run(resume=True)
        assert [id for id in await service.store.graph_ids() if "claim" in id]
        service.begin(every=5)
        await service.quiet()
        for _ in range(20):
            service.clock.advance(6)
            await service.quiet()
        assert [id for id in await service.store.graph_ids() if "claim" in id] == []


async def test_only_graphs_with_the_prefix_are_taken() -> None:
    service = Service()
    for graph_id in ("order-1", "other-1"):
        await service.build(graph_id).submit()

    await asyncio.wait_for(service.work(idle_exit=0, prefix="order"), 60)

    assert {run.graph_id: run.status for run in await service.manager.runs()} == {
        "order-1": "completed",
        "other-1": "queued",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, r"work\(limit=0\): give a whole number"),
        ({"every": 0}, r"work\(every=0\): give a positive number of seconds"),
        ({"claim": "mine"}, "give True, or a Claim"),
        ({"grace": -1}, r"work\(grace=-1\)"),
    ],
)
async def test_what_can_not_be_used_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphDefinitionError, match=message):
        await Service().work(**options)


async def _queued(graph_id: str, service: Service) -> Any:
    """The record of a run that is drained before its first step, in a store of its own."""
    elsewhere = Service()
    await elsewhere.build(graph_id).submit()
    return await elsewhere.store.get(graph_id, 1)


@pytest.mark.parametrize("prefix", ["", "tenant-1", "t" * 90])
async def test_runs_with_ids_of_any_length_are_found_by_their_claims(prefix: str) -> None:
    """The id of a claim on a long one holds its beginning only."""

    class OnlyClaims(Store):
        async def latest_runs(self, prefix: str = "", **options: Any) -> LatestHeaders:
            return await super().latest_runs(prefix, **options) if prefix.startswith("__spark__") else LatestHeaders({})

    ids = [prefix + "a", prefix + "b" * (200 - len(prefix))]
    service = Service(store=OnlyClaims())
    for graph_id in [*ids, "another", "t" * 80 + "another" + "x" * 100]:
        await service.build(graph_id).submit()

    await asyncio.wait_for(service.work(prefix=prefix, idle_exit=0), 60)

    statuses = {
        graph_id: (await service.store.latest_headers([graph_id])).headers[graph_id].metadata["reason"]
        for graph_id in ids
    }
    assert statuses == dict.fromkeys(ids, "completed")
    assert [service.told.get_nowait()[0] for _ in range(service.told.qsize())].count("another") == (0 if prefix else 2)


async def test_claims_that_are_long_over_are_forgotten_now_and_then() -> None:
    forgotten = list[tuple[str, timedelta]]()

    class Tidy(Store):
        async def forget_empty(self, prefix: str, *, older_than: timedelta) -> int:
            forgotten.append((prefix, older_than))
            raise BackendError("not allowed to")

    async with Service(store=Tidy()) as service:
        service.begin(every=5)
        await service.quiet()
        assert forgotten == [("__spark__.claim", timedelta(hours=1))]
        for _ in range(3):
            service.clock.advance(6)
            await service.quiet()
        assert len(forgotten) == 1
        service.clock.advance(3600)
        await service.quiet()
        assert len(forgotten) == 2
