"""A save whose request was not answered looks at what the store holds now, and says that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import count

import pytest

from spark.errors import BackendError, CheckpointConflictError, SequenceTakenError
from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig
from spark.graphs.checkpoint.storage import Record
from spark_backend_s3 import S3CheckpointBackend
from spark_testing.records import make_record
from tests.plugins.support.s3.faults import HANG, HANG_AFTERWARDS, INTERNAL_ERROR, LOST_ANSWER, PASS, Fault, FaultyProxy
from tests.plugins.support.s3.servers import S3Server
from tests.plugins.support.s3.stores import (
    AT_ONCE,
    give_up_soon,
    open_store,
    set_attempts,
    set_timeout,
    trusting,
    watch,
)

MINUTE = 60.0


class Pair:
    """Two writers of one store, as in two processes; the first reaches it through a proxy."""

    def __init__(self, first: S3CheckpointBackend, second: S3CheckpointBackend, proxy: FaultyProxy) -> None:
        self.first, self.second, self.proxy = first, second, proxy

    def fail_saves(self, fault: Fault) -> None:
        """From now on, none of the first writer's saves is answered; it gives up soon."""
        if fault.ends == "hang":
            give_up_soon(self.first, "put_object")
        set_attempts(self.first, 2)
        self.proxy.schedule = lambda kind: fault if kind == "PUT" else PASS


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    return s3_server.new_bucket()


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
async def pair(s3_server: S3Server, bucket: str, numbers: Iterator[int]) -> AsyncIterator[Pair]:
    """Both have saved, so that they know their store."""
    prefix = f"pair {next(numbers)}"
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultyProxy(s3_server.endpoint_url, lambda _: PASS).listening())
        looking = trusting(window=-1.0)  # it looks before each save, and after
        first = open_store(s3_server, bucket, prefix, endpoint_url=proxy.endpoint_url, trust=looking)
        second = open_store(s3_server, bucket, prefix, trust=trusting(grace=AT_ONCE))
        for number, backend in enumerate((first, second), 1):
            await (await stack.enter_async_context(backend)).put(make_record("g", number))
        yield Pair(first, second, proxy)


def stop_process() -> None:
    """A minute passes at once, for all in this event loop, as when the process is stopped and resumed."""
    loop = asyncio.get_running_loop()
    time = loop.time
    loop.time = lambda: time() + MINUTE  # type: ignore[method-assign]


async def put_while_stopped(pair: Pair, record: Record, *, before: int) -> BaseException | None:
    """What a save says whose process is stopped before its nth request, while the other writer goes on."""
    gate = watch(pair.first, stop_before=before)
    saving = asyncio.create_task(pair.first.put(record))
    await gate.is_stopped.wait()
    await pair.second.put(make_record("g", record.sequence))
    await pair.second.put(make_record("g", record.sequence + 1))
    stop_process()
    return (await asyncio.gather(saving, return_exceptions=True))[0]


# the process is stopped


@pytest.mark.parametrize("before", [0, 1])
async def test_a_writer_that_was_stopped_for_a_minute_is_told_that_others_went_on(pair: Pair, before: int) -> None:
    """While it asks what is there, or while it saves. "The store did not answer in time" would be untrue."""
    told = await put_while_stopped(pair, make_record("g", 3), before=before)

    assert isinstance(told, SequenceTakenError)


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_a_writer_that_was_stopped_for_a_minute_and_still_leads_has_saved(pair: Pair, before: int) -> None:
    record = make_record("g", 3)
    gate = watch(pair.first, stop_before=before)
    saving = asyncio.create_task(pair.first.put(record))
    await gate.is_stopped.wait()
    stop_process()
    await saving

    assert await pair.second.get("g", 3) == record


async def test_a_reader_that_was_stopped_for_a_minute_asks_again(pair: Pair) -> None:
    gate = watch(pair.first, stop_before=0)
    reading = asyncio.create_task(pair.first.get("g", 2))
    await gate.is_stopped.wait()
    stop_process()

    assert await reading == await pair.second.get("g", 2)


# the answer is lost


async def test_a_save_whose_answer_is_lost_is_not_taken_back_for_a_deletion_beside_it(
    s3_server: S3Server, bucket: str, numbers: Iterator[int]
) -> None:
    """As retention's, beside the run: it lists the record before the writer knows that it is there."""
    faults = iter([LOST_ANSWER])
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultyProxy(s3_server.endpoint_url, lambda _: PASS).listening())
        prefix, trust = f"lost {next(numbers)}", trusting(grace=AT_ONCE)
        backend = open_store(s3_server, bucket, prefix, endpoint_url=proxy.endpoint_url, trust=trust)
        await stack.enter_async_context(backend)
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))
        proxy.schedule = lambda kind: next(faults, PASS) if kind == "PUT" else PASS
        gate = watch(backend, stop_before=1)  # the save is about to be sent again
        saving = asyncio.create_task(backend.put(make_record("g", 4)))
        await gate.is_stopped.wait()
        await backend.delete_many("g", [1, 2])
        gate.may_go_on.set()
        await saving

        assert [info.sequence for info in (await backend.list("g")).infos] == [3, 4]


# the store does not answer


@pytest.mark.parametrize("fault", [INTERNAL_ERROR, pytest.param(HANG, marks=pytest.mark.thorough)])
async def test_a_save_that_is_not_answered_is_told_that_others_went_on(pair: Pair, fault: Fault) -> None:
    await pair.second.put(make_record("g", 3))
    pair.fail_saves(fault)

    with pytest.raises(SequenceTakenError, match="save checkpoint 3 of graph 'g'"):
        await pair.first.put(make_record("g", 3))


async def test_nor_does_it_matter_that_the_others_have_deleted_what_was_in_the_way(pair: Pair) -> None:
    pair.first._views.trust = trusting()  # from now on it trusts its look
    await pair.first.next_sequence("g")
    for sequence in range(3, 25):
        await pair.second.put(make_record("g", sequence))
    await pair.second.delete_many("g", range(1, 23))
    pair.fail_saves(INTERNAL_ERROR)

    with pytest.raises(SequenceTakenError):
        await pair.first.put(make_record("g", 4))


async def test_a_large_value_that_is_not_answered_is_told_so_too(pair: Pair) -> None:
    await pair.second.put(make_record("g", 3))
    pair.fail_saves(INTERNAL_ERROR)

    with pytest.raises(SequenceTakenError):
        await pair.first.put(make_record("g", 3, blobs={"000000000003-ab-1": b"x"}))


@pytest.mark.thorough
async def test_a_save_that_is_not_answered_and_has_happened_is_done(pair: Pair) -> None:
    record = make_record("g", 3)
    pair.fail_saves(HANG_AFTERWARDS)

    await pair.first.put(record)

    assert await pair.second.get("g", 3) == record
    pair.proxy.schedule = lambda _: PASS
    with pytest.raises(SequenceTakenError):
        await pair.first.put(record)


async def test_a_save_that_is_not_answered_where_nobody_went_on_says_what_failed(pair: Pair) -> None:
    pair.fail_saves(INTERNAL_ERROR)

    with pytest.raises(BackendError, match="the store answered 500 InternalError"):
        await pair.first.put(make_record("g", 3))

    assert await pair.second.next_sequence("g") == 3


@pytest.mark.thorough
async def test_a_store_that_answers_nothing_is_not_asked_for_long(pair: Pair) -> None:
    set_timeout(pair.first, 2.4)
    pair.proxy.schedule = lambda _: HANG
    loop = asyncio.get_running_loop()
    began = loop.time()

    with pytest.raises(BackendError, match=r"did not answer in time|ReadTimeout"):
        await pair.first.put(make_record("g", 3))

    assert loop.time() - began < 20


async def test_a_run_that_was_overtaken_while_the_store_did_not_answer_stops_with_the_conflict(pair: Pair) -> None:
    @node(name="overtaken")
    async def overtaken(context: NodeContext) -> dict[str, bool]:
        await pair.second.put(make_record("run", 1))
        pair.fail_saves(INTERNAL_ERROR)
        return {"done": True}

    config = CheckpointConfig(backend=pair.first, trigger_on_iteration=1)
    with pytest.raises(CheckpointConflictError, match="another process continued the same graph id"):
        await Graph(overtaken, id="run", checkpoint_config=config).run()
