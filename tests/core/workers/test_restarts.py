"""A run that ends its processes is restarted only so often, and takes no others down with it again and again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, RunError
from spark.graphs import NodeContext
from spark.graphs.checkpoint import Claim, RunInfo
from tests.support.workers import Service

TTL = 30.0


async def die(service: Service, graph_id: str, *, times: int) -> None:
    """Let so many processes end while they run a graph, one after the other, without having saved anything."""
    for _ in range(times):
        await service.die_holding(graph_id, ttl=TTL)
        service.clock.advance(2 * TTL)


async def only_run(service: Service) -> RunInfo:
    (run,) = await service.manager.runs()
    return run


async def test_a_run_fails_when_it_was_restarted_too_often_and_whoever_resumes_it_counts_anew() -> None:
    service = Service()
    await service.build("order-1").submit()
    await die(service, "order-1", times=3)
    assert (await only_run(service)).restarts == 2

    await asyncio.wait_for(service.work(idle_exit=0, claim=Claim(max_restarts=2)), 60)

    _, error = await service.ended()
    run = await only_run(service)
    assert isinstance(error, RunError)
    assert (run.status, run.restarts) == ("failed", 0)
    assert "the last 3 processes that ran it ended" in (run.error or "")
    message = await service.build("order-1").run(resume=True, claim=Claim(max_restarts=0))
    assert message.status == "completed"


@pytest.mark.parametrize("most", [3, None])
async def test_until_then_it_is_restarted(most: int | None) -> None:
    service = Service()
    await service.build("order-1").submit()
    await die(service, "order-1", times=3)

    await asyncio.wait_for(service.work(idle_exit=0, claim=Claim(max_restarts=most)), 60)

    assert (await only_run(service)).status == "completed"


@pytest.mark.parametrize(("checkpoints", "restarts"), [(0, 3), (1, 3), (2, 1)])
async def test_a_checkpoint_is_progress_but_for_the_one_by_which_an_owner_keeps_out_the_one_before(
    checkpoints: int, restarts: int
) -> None:
    """Whoever takes a claim over saves that one before its first step."""
    service = Service()
    await service.build("order-1").submit()
    await die(service, "order-1", times=3)
    for number in range(checkpoints):
        await service.manager.edit("order-1", set={"came_on": number})
    await die(service, "order-1", times=1)

    assert (await only_run(service)).restarts == restarts


async def test_of_runs_that_may_end_the_process_one_is_under_way_at_a_time_beside_all_others() -> None:
    under_way, gate = list[str](), asyncio.Event()

    async def work(context: NodeContext) -> Any:
        under_way.append(context.graph_id)
        if context.graph_id.startswith("suspect"):
            await gate.wait()
        return "done"

    async with Service(work) as service:
        for number in range(8):
            await service.build(f"suspect-{number}").submit()
            await die(service, f"suspect-{number}", times=3)
        for number in range(5):
            await service.build(f"other-{number}").submit()
        service.begin(limit=2)
        others = {(await service.ended())[0] for _ in range(5)}
        assert others == {f"other-{number}" for number in range(5)}
        assert len([each for each in under_way if each.startswith("suspect")]) == 1
        gate.set()
        suspects = {(await service.ended())[0] for _ in range(8)}
        assert suspects == {f"suspect-{number}" for number in range(8)}


async def test_a_round_leaves_those_for_the_end_one_after_the_other() -> None:
    under_way, most = set[str](), list[set[str]]()

    async def work(context: NodeContext) -> str:
        under_way.add(context.graph_id)
        most.append({*under_way})
        await asyncio.sleep(0)
        under_way.discard(context.graph_id)
        return "done"

    service = Service(work)
    for graph_id in ("suspect-1", "suspect-2", "suspect-3", "other-1", "other-2"):
        await service.build(graph_id).submit()
        if graph_id.startswith("suspect"):
            await die(service, graph_id, times=3)

    recovery = await service.manager.resume_all(service.build)

    assert len(recovery.resumed) == 5
    assert most[2:] == [{each} for each in ("suspect-1", "suspect-2", "suspect-3")]


@pytest.mark.parametrize("most", [-1, 1.5, True, "ten"])
def test_a_limit_that_is_none_is_refused(most: Any) -> None:
    with pytest.raises(GraphDefinitionError, match="give a whole number of at least 0, or None"):
        Claim(max_restarts=most)


async def test_many_of_them_are_found_once_and_not_anew_for_each() -> None:
    async def read_per_run(count: int) -> float:
        service = Service()
        for number in range(count):
            await service.build(f"suspect-{number}").submit()
            await die(service, f"suspect-{number}", times=3)
        service.store.read = 0
        await asyncio.wait_for(service.work(idle_exit=0), 60)
        assert {run.status for run in await service.manager.runs()} == {"completed"}
        return service.store.read / count

    assert await read_per_run(80) < 2 * await read_per_run(20)
