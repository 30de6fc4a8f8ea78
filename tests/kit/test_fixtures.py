"""The fixtures of the kit: a store, the same with faults, and a clock."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from spark.errors import BackendError
from spark.graphs import Budget, Graph, Task
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager, EverySeconds
from spark_testing import FakeClock, FaultyBackend, make_record
from tests.support.running import Does, countdown


def test_faults_reach_every_method_of_a_backend() -> None:
    """A method that was not handed on would be answered by the base class, past the real store."""
    methods = {name for name, member in vars(CheckpointBackend).items() if inspect.iscoroutinefunction(member)}

    assert {name for name in methods if not name.startswith("__")} <= vars(FaultyBackend).keys()


async def test_without_a_fault_it_is_the_store_inside(
    spark_store: CheckpointBackend, faulty_store: FaultyBackend
) -> None:
    record = make_record()

    await faulty_store.put(record)

    assert await spark_store.get("g", 1) == record == await faulty_store.get("g", 1)
    assert faulty_store.calls == ["put", "get"]


async def test_the_nth_call_fails_and_nothing_is_done(faulty_store: FaultyBackend) -> None:
    faulty_store.fail("put", at=2)
    await faulty_store.put(make_record("g", 1))

    with pytest.raises(BackendError, match="ordered"):
        await faulty_store.put(make_record("g", 2))

    await faulty_store.put(make_record("g", 3))
    assert [info.sequence for info in (await faulty_store.list()).infos] == [1, 3]


async def test_a_run_survives_a_lost_answer_if_it_is_told_that_the_sequence_is_taken(
    faulty_store: FaultyBackend,
) -> None:
    """The run fails, and the checkpoint whose answer was lost is there to go on from."""
    faulty_store.lose_answer("put", at=3, error=ConnectionResetError("the answer was lost"))
    graph = Graph(countdown(), id="g", checkpoint_config=CheckpointConfig(backend=faulty_store, trigger_on_iteration=1))

    with pytest.raises(BackendError):
        await graph.run({"limit": 5})

    assert [info.sequence for info in (await faulty_store.list("g")).infos] == [1, 2, 3]
    assert (await graph.run({"limit": 5}, resume=True)).content["count"] == 5


async def test_a_call_hangs_until_it_is_released(faulty_store: FaultyBackend) -> None:
    fault = faulty_store.hang("put")
    saving = asyncio.create_task(faulty_store.put(make_record()))
    await fault.reached.wait()

    assert not saving.done()
    assert (await faulty_store.list()).infos == []
    fault.released.set()
    await saving
    assert len((await faulty_store.list()).infos) == 1


def test_a_fault_of_a_method_that_there_is_not_is_refused(faulty_store: FaultyBackend) -> None:
    with pytest.raises(ValueError, match="putt"):
        faulty_store.fail("putt")


async def test_time_passes_when_the_test_says_so(spark_store: CheckpointBackend, fake_clock: FakeClock) -> None:
    work = [Does(lambda context: fake_clock.advance(20), name=name) for name in "abc"]
    work[0] >> work[1] >> work[2]
    config = CheckpointConfig(backend=spark_store, trigger=EverySeconds(30))
    graph = Graph(work[0], id="timed", checkpoint_config=config, clock=fake_clock)

    await graph.run(Task(budget=Budget(max_seconds=100)))

    assert fake_clock.monotonic() == 60
    assert len(await CheckpointManager(spark_store).list_checkpoints("timed")) == 2
    with pytest.raises(ValueError, match="never goes back"):
        fake_clock.advance(-1)
