"""The runs of dead workers are taken over in time: after twice ``ttl``, at the next look of a worker that has room."""

from __future__ import annotations

import asyncio

from spark.graphs import NodeContext
from spark.graphs.checkpoint.ids import CLAIM, derived_id
from tests.support.workers import Service

EVERY = 5.0
TTL = 30.0
CLAIMS = derived_id(CLAIM, "")[:-1]


async def taken_after(service: Service, *, at_most: float) -> float:
    """Seconds until a run is taken up."""
    for seconds in range(int(at_most) + 1):
        await settle()
        if not service.told.empty():
            return seconds
        service.clock.advance(1)
    raise AssertionError(f"nothing was taken up in {at_most} s")


async def test_a_run_is_taken_over_after_twice_ttl_and_at_the_next_look() -> None:
    """Wherever between two looks its claim expires."""
    for offset in range(6):
        async with Service() as service:
            await service.build("order-1").submit()
            await service.die_holding("order-1", ttl=TTL)
            service.clock.advance(offset)
            service.begin(every=EVERY)

            assert 2 * TTL <= offset + await taken_after(service, at_most=100) <= 2 * TTL + EVERY


async def test_a_worker_that_began_later_knows_how_long_ago_a_claim_was_renewed() -> None:
    """It does not wait for twice ``ttl`` since it saw the claim first."""
    async with Service() as service:
        await service.build("order-1").submit()
        await service.die_holding("order-1", ttl=TTL)
        service.clock.advance(2 * TTL)
        service.begin(every=EVERY)

        assert await taken_after(service, at_most=0) == 0


async def test_what_dead_workers_left_is_taken_before_all_else_and_not_forgotten_at_a_look_in_between() -> None:
    """More runs than there is room for, each of them longer than two looks are apart, and looking takes time."""

    async def work(context: NodeContext) -> str:
        service.clock.advance(EVERY + 1)
        return "done"

    async with Service(work) as service:
        for number in range(30):
            await service.build(f"order-{number:02}").submit()
        for number in range(6, 12):
            await service.die_holding(f"order-{number:02}", ttl=TTL)
        service.clock.advance(2 * TTL)
        looks = iter([10.0])  # so long do only the first claims take
        service.store.cost = lambda prefix: service.clock.advance(next(looks, 0) if prefix == CLAIMS else 0)
        service.begin(every=EVERY, limit=1)

        assert {(await service.ended())[0] for _ in range(6)} == {f"order-{number:02}" for number in range(6, 12)}


async def test_looking_for_the_dead_takes_a_quarter_of_the_time_at_most_and_pauses_for_a_minute_at_most() -> None:
    """A worker that was stopped in the middle of a look does not sleep ten times as long afterwards."""
    for took, pause in ((0.1, EVERY), (4.0, 12.0), (1_000.0, 60.0)):
        async with Service() as service:
            looks = iter([took])
            # Only the walk through all claims goes by this prefix, and only the first one takes long.
            service.store.cost = lambda prefix, looks=looks: (  # type: ignore[misc]
                service.clock.advance(next(looks, 0)) if prefix == CLAIMS else None
            )
            service.begin(every=EVERY)
            await settle()
            await service.build("order-1").submit()
            await service.die_holding("order-1", ttl=0.001)

            assert pause - EVERY / 5 - 1 <= await taken_after(service, at_most=100) <= pause + 1


async def test_looking_at_everything_else_does_not_delay_the_next_look_for_the_dead() -> None:
    """However long it takes to go through all graphs, for runs that were never claimed."""
    async with Service() as service:
        service.store.cost = lambda prefix: service.clock.advance(0 if prefix == CLAIMS else 100)
        service.begin(every=EVERY)
        await settle()
        await service.build("order-1").submit()
        await service.die_holding("order-1", ttl=0.001)

        assert await taken_after(service, at_most=100) <= EVERY


async def test_nobody_takes_over_while_all_workers_are_full_and_the_first_one_with_room_does() -> None:
    gates = {name: asyncio.Event() for name in ("long-1", "long-2")}

    async def work(context: NodeContext) -> str:
        if context.graph_id in gates:
            await gates[context.graph_id].wait()
        return "done"

    async with Service(work) as service:
        for name in gates:
            await service.build(name).submit()
        service.begin(every=EVERY, limit=2)
        await settle()
        assert service.told.qsize() == 2
        for name in ("dead", *(f"queued-{number}" for number in range(20))):
            await service.build(name).submit()
        await service.die_holding("dead", ttl=TTL)
        for _ in range(20):
            service.clock.advance(EVERY)
            await settle()
        assert service.told.qsize() == 2
        gates["long-1"].set()

        assert [(await service.ended())[0] for _ in range(2)] == ["long-1", "dead"]
        gates["long-2"].set()


async def settle() -> None:
    """Let the worker do all that it can do at this moment of its clock."""
    for _ in range(200):
        await asyncio.sleep(0)
