"""A checkpoint loads in a bounded number of reads, however long the history behind it is."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from math import log
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark_backend_s3 import S3CheckpointBackend
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import make_record
from tests.plugins.support.growing_graph import conversation, state_after
from tests.support.variants import first_of

SHORT, LONG = 100, 1_000


async def copied_from_memory(store: CheckpointBackend, *, steps: int) -> None:
    """Let a store have the last checkpoint of so many steps, as it would have written it."""
    memory = InMemoryCheckpointBackend()
    memory.blob_cost, memory.keeps_records = store.blob_cost, False
    config = CheckpointConfig(backend=memory, trigger_on_iteration=1, max_checkpoints=2)
    await conversation(config, graph_id=f"of {steps}").run({"length": steps})
    record = await memory.get_latest(f"of {steps}")
    assert record is not None
    names = [ref.name for ref in memory.record_codec.references(record)]
    await store.put(record.with_blobs(await memory.get_blobs(f"of {steps}", names)))


async def reads_of(store: CheckpointBackend, seen: list[Any], *, steps: int) -> int:
    """How many entries a list gets while the store loads that checkpoint, which comes back whole."""
    seen.clear()
    checkpoint = await CheckpointManager(store).load_latest(f"of {steps}")
    count = len(seen)
    assert checkpoint is not None
    assert checkpoint.graph_state == state_after(steps)
    return count


def count_statements(backend: DatabaseCheckpointBackend) -> list[Any]:
    """A list that grows with each SELECT that a driver carries out."""
    seen: list[Any] = []

    def note(statement: Any) -> None:
        if str(statement).startswith("SELECT"):
            seen.append(statement)

    class Counting(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
            note(query)
            return super().execute(query, *arguments, **options)

    def watch(connection: Any, record: object) -> None:
        if isinstance(connection, psycopg.Connection):
            connection.cursor_factory = Counting
        else:
            connection.set_trace_callback(note)

    for engine in (backend.database.writing, backend.database.reading):
        event.listen(engine, "connect", watch, insert=True)
    backend.database.close()
    return seen


@pytest.mark.parametrize("kind", first_of(["sqlite", "postgresql"]))
async def test_a_database_is_asked_as_often_for_a_long_history_as_for_a_short_one(
    store: DatabaseCheckpointBackend,
) -> None:
    for steps in (SHORT, LONG):
        await copied_from_memory(store, steps=steps)
    seen = count_statements(store)
    await store.latest("nothing")  # connected

    reads = [await reads_of(store, seen, steps=steps) for steps in (SHORT, LONG)]

    assert reads == [2, 2], "one for the record, and one for all that it refers to"


@pytest.mark.parametrize("kind", first_of(["sqlite", "postgresql"]))
async def test_a_database_is_asked_for_a_thousand_large_values_in_a_few_statements(
    store: DatabaseCheckpointBackend,
) -> None:
    """Within what one statement may hold: 999 parameters of older SQLites."""
    blobs = {f"{1:012d}-ab-{number}": b"%d" % number for number in range(1_000)}
    await store.put(make_record("g", 1, blobs=blobs))
    seen = count_statements(store)
    await store.latest("nothing")
    seen.clear()

    assert await store.get_blobs("g", [*blobs]) == blobs
    assert len(seen) <= 3


@pytest.fixture(scope="module")
def opened() -> list[str]:
    """A list that grows with each file or folder that this process opens."""
    paths: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and not isinstance(arguments[0], int):  # what has a descriptor is open already
            paths.append(str(arguments[0]))

    sys.addaudithook(note)  # for good: Python has no way to remove one
    return paths


def most_reads(steps: int) -> int:
    """Sixteen chunks of each size for each of two collections, in as many sizes as there can be, the record, what never
    changes, and folders."""
    return 12 + 2 * 16 * (1 + int(log(steps, 16)))


@pytest.mark.parametrize("kind", ["file"])
async def test_few_files_are_opened_for_a_long_history(store: CheckpointBackend, opened: list[str]) -> None:
    for steps in (SHORT, LONG):
        await copied_from_memory(store, steps=steps)

    short, long = [await reads_of(store, opened, steps=steps) for steps in (SHORT, LONG)]

    assert short <= most_reads(SHORT)
    assert long <= most_reads(LONG)


@pytest.mark.parametrize("kind", ["s3"])
async def test_few_requests_are_made_for_a_long_history_and_many_at_a_time(store: S3CheckpointBackend) -> None:
    for steps in (SHORT, LONG):
        await copied_from_memory(store, steps=steps)
    requests: list[int] = []
    """For each request, how many others were under way."""
    under_way = 0
    call: Callable[..., Awaitable[Any]] = store._objects._call

    async def counted(method: str, **arguments: Any) -> Any:
        nonlocal under_way
        requests.append(under_way)
        under_way += 1
        try:
            return await call(method, **arguments)
        finally:
            under_way -= 1

    store._objects._call = counted  # type: ignore[method-assign]

    short = await reads_of(store, requests, steps=SHORT)
    long = await reads_of(store, requests, steps=LONG)

    assert short <= most_reads(SHORT)
    assert long <= most_reads(LONG)
    assert max(requests) >= 2, "large values are read one after the other"
