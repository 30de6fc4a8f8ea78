"""Claims on S3: one process gets a run, while the store throttles, loses answers, or others delete what is being listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import cycle
from random import Random

import pytest

from spark.errors import BackendError, ClaimedError
from spark.graphs.checkpoint import Claim
from spark.graphs.checkpoint.derived.claims import Lease
from spark_backend_s3 import S3CheckpointBackend
from spark_testing import FakeClock
from spark_testing.records import make_record
from tests.plugins.support.s3.faults import ERROR_AFTERWARDS, LOST_ANSWER, PASS, SLOW_DOWN, FaultyProxy
from tests.plugins.support.s3.servers import S3Server
from tests.plugins.support.s3.stores import open_store, set_attempts, watch

TTL = 30.0


class Processes:
    """Two backends of one store, as in two processes; the first reaches it through a proxy."""

    def __init__(self, first: S3CheckpointBackend, second: S3CheckpointBackend, proxy: FaultyProxy) -> None:
        self.first, self.second, self.proxy = first, second, proxy
        self.leases: list[Lease] = []

    def lease(self, backend: S3CheckpointBackend, *, ahead: float = 0.0, graph_id: str = "g") -> Lease:
        """A claim of this process, whose clock is ahead by so many seconds."""
        clock, name = FakeClock(), "first" if backend is self.first else "second"
        clock.advance(ahead)
        claim = Claim(owner=name, ttl=TTL)
        self.leases.append(
            Lease(claim, backend, graph_id, clock=clock, random=Random(name), on_lost=lambda error: None)
        )
        return self.leases[-1]


@pytest.fixture
async def processes(s3_server: S3Server) -> AsyncIterator[Processes]:
    bucket = s3_server.new_bucket()
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultyProxy(s3_server.endpoint_url, lambda _: PASS).listening())
        first = await stack.enter_async_context(open_store(s3_server, bucket, endpoint_url=proxy.endpoint_url))
        second = await stack.enter_async_context(open_store(s3_server, bucket))
        for backend in (first, second):
            await backend.put(make_record(f"warm {id(backend)}", 1))
        processes = Processes(first, second, proxy)
        yield processes
        for lease in processes.leases:
            await lease.release()


async def test_of_two_one_gets_the_claim_while_the_store_throttles_and_loses_answers(processes: Processes) -> None:
    faults = cycle([SLOW_DOWN, PASS, LOST_ANSWER, PASS, ERROR_AFTERWARDS, PASS, PASS])
    processes.proxy.schedule = lambda kind: next(faults)
    for number in range(4):
        leases = [processes.lease(backend, graph_id=f"g{number}") for backend in (processes.first, processes.second)]

        results = await asyncio.gather(*(lease.take() for lease in leases), return_exceptions=True)

        assert sorted(type(result) for result in results if result) == [ClaimedError]
        winner = leases[results.index(None)]
        assert await winner.renew() is None, "the one that has it keeps it"


async def test_who_is_throttled_for_too_long_has_no_claim_and_holds_up_nobody(processes: Processes) -> None:
    set_attempts(processes.first, 2)
    processes.proxy.schedule = lambda kind: SLOW_DOWN if kind == "PUT" else PASS
    with pytest.raises(BackendError, match="SlowDown"):
        await processes.lease(processes.first).take()

    await processes.lease(processes.second).take()


async def test_clocks_may_differ_by_the_documented_bound(processes: Processes) -> None:
    """One that is ahead by more takes the claim over, and the first owner is told at its next renewal."""
    first = processes.lease(processes.first)
    await first.take()
    with pytest.raises(ClaimedError):
        await processes.lease(processes.second, ahead=2 * TTL - 1).take()
    assert await first.renew() is None

    await processes.lease(processes.second, ahead=2 * TTL + 1).take()

    lost = await first.renew()
    assert isinstance(lost, ClaimedError)
    assert lost.owner == "second"


@pytest.mark.parametrize(("deleted", "left"), [([2], {"a": 1, "b": 2}), ([1, 2], {"b": 2, "c": 2})])
async def test_what_is_deleted_while_the_latest_runs_are_read_is_left_out(
    processes: Processes, deleted: list[int], left: dict[str, int]
) -> None:
    """What comes after it takes its place on the page."""
    reader, writer = processes.first, processes.second
    for graph_id in ("a", "b", "c"):
        for sequence in (1, 2):
            await writer.put(make_record(graph_id, sequence))
    gate = watch(reader, stop_before=1)
    reading = asyncio.create_task(reader.latest_runs("", limit=2))
    await gate.is_stopped.wait()
    await writer.delete_many("a", deleted)
    gate.may_go_on.set()

    found = await reading

    assert {graph_id: header.sequence for graph_id, header in found.headers.items()} == left
    assert found.damaged == []
