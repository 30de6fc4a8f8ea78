"""Which runs are unfinished: what headers tell of every graph, in every kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from spark.errors import BudgetExceededError, GraphDefinitionError
from spark.graphs import Budget, Graph, NodeContext, Task
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import DamagedRecord, LatestHeaders
from spark_testing.clock import NEW_YEAR, FakeClock
from tests.plugins.support.kinds import SELDOM_S3, store_of
from tests.support.running import Does, Failure, history
from tests.support.variants import first_of


@pytest.fixture(params=[*first_of(["memory", "file", "sqlite"], always=2), SELDOM_S3])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    async with store_of(request.param, request, tmp_path) as made:
        yield made


def graph(id: str, work: Callable[[NodeContext], Any], store: CheckpointBackend, *, clock: FakeClock) -> Graph:
    """Two steps: one that begins, and one that does this."""
    begin, end = Does(lambda context: {}, name="begin"), Does(work, name="end")
    begin >> end
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=False)
    return Graph(begin, id=id, checkpoint_config=config, clock=clock)


def fails(context: NodeContext) -> Any:
    raise Failure("too long" + "!" * 500)


async def _all_kinds(store: CheckpointBackend, clock: FakeClock) -> None:
    """A graph for each status, named for it."""
    await graph("completed", lambda context: 1, store, clock=clock).run()
    await graph("interrupted", lambda context: context.interrupt("?"), store, clock=clock).run()
    await graph("waiting", lambda context: context.sleep(3600), store, clock=clock).run(wait=False)
    with pytest.raises(Failure):
        await graph("failed", fails, store, clock=clock).run()
    with pytest.raises(BudgetExceededError):
        await graph("budget", lambda context: 1, store, clock=clock).run(Task(budget=Budget(max_iterations=1)))
    drained = graph("drained", lambda context: 1, store, clock=clock)
    run = asyncio.create_task(drained.run())
    await asyncio.sleep(0)
    drained.drain("enough")
    await run
    manual = graph("manual", lambda context: 1, store, clock=clock)
    await manual.create_checkpoint("mine").save(store)
    running = graph("running", lambda context: 1, store, clock=clock)
    await running.run()
    await store.delete("running", (await history(running))[-1].sequence or 0)  # as if it had been killed


async def test_each_graph_has_a_row_with_its_status(store: CheckpointBackend) -> None:
    clock = FakeClock()
    await _all_kinds(store, clock)
    rows = await CheckpointManager(store).runs()

    assert {row.graph_id: row.status for row in rows} == {row.graph_id: row.graph_id for row in rows}
    assert [row.graph_id for row in rows] == sorted(
        ["completed", "interrupted", "waiting", "failed", "budget", "drained", "manual", "running"]
    )
    by_status = {row.status: row for row in rows}
    failed, waiting = by_status["failed"], by_status["waiting"]
    assert failed.error is not None
    assert (failed.node, failed.error[:40], len(failed.error) < 300) == (
        "end",
        "tests.support.running.Failure: too long!",
        True,
    )
    assert (waiting.due, waiting.node, waiting.iteration) == (NEW_YEAR + timedelta(hours=1), "begin", 1)
    assert (by_status["interrupted"].questions, by_status["interrupted"].since) == (1, NEW_YEAR)
    assert all(row.error is None for row in rows if row.status != "failed")


async def test_they_are_narrowed_and_paged(store: CheckpointBackend) -> None:
    clock = FakeClock()
    await _all_kinds(store, clock)
    manager = CheckpointManager(store)

    async def ids(*args: Any, **kwargs: Any) -> list[str]:
        return [row.graph_id for row in await manager.runs(*args, **kwargs)]

    assert await ids("failed") == ["failed"]
    assert await ids(["failed", "waiting", "budget"]) == ["budget", "failed", "waiting"]
    assert await ids(["failed", "waiting", "budget"], limit=1, after="budget") == ["failed"]
    assert await ids(prefix="dr") == ["drained"]
    assert await ids(limit=0) == []
    due = NEW_YEAR + timedelta(hours=1)
    assert await ids(due_before=due) == ["waiting"]
    assert await ids(due_before=due.astimezone().replace(tzinfo=None)) == ["waiting"]
    assert await ids(due_before=due - timedelta(seconds=1)) == []


async def test_checkpoints_made_by_hand_hide_no_run(store: CheckpointBackend) -> None:
    """However many there are."""
    waiting = graph("g", lambda context: context.sleep(3600), store, clock=FakeClock())
    await waiting.run(wait=False)
    for number in range(20):
        await waiting.create_checkpoint(f"mine {number}", {"reason": "failed"}).save(store)

    (row,) = await CheckpointManager(store).runs()
    assert (row.status, row.due, row.sequence) == ("waiting", NEW_YEAR + timedelta(hours=1), 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"status": "wating"}, "Did you mean 'waiting'"),
        ({"status": ["failed", 1]}, "no run has this status"),
        ({"limit": -1}, "limit=-1"),
        ({"due_before": "today"}, "due_before='today'"),
    ],
)
async def test_what_is_no_question_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphDefinitionError, match=message):
        await CheckpointManager(InMemoryCheckpointBackend()).runs(**arguments)


async def test_a_damaged_latest_checkpoint_is_a_row() -> None:
    class Damaged(InMemoryCheckpointBackend):
        async def latest_headers(self, graph_ids: Any) -> LatestHeaders:
            found = await super().latest_headers(graph_ids)
            header = found.headers.pop("b")
            return LatestHeaders(found.headers, [DamagedRecord("b", header.sequence, "there", "It is torn.")])

    store = Damaged()
    for id in ("a", "b", "c"):
        await graph(id, lambda context: 1, store, clock=FakeClock()).run()
    rows = await CheckpointManager(store).runs()
    assert [(row.status, row.error) for row in rows] == [
        ("completed", None),
        ("damaged", "It is torn."),
        ("completed", None),
    ]


async def test_what_a_header_says_may_be_anything(store: CheckpointBackend) -> None:
    """Whoever may write to a store may write anything."""
    from spark_testing.records import make_record

    odd = {"reason": 7, "due": "tomorrow", "iteration": "3", "questions": None, "error_type": 1, "run_id": 2.5}
    await store.put(make_record("g", 1, metadata=odd))
    await store.put(make_record("h", 1, metadata={"reason": "waiting", "due": "2026-01-01T00:00:00"}))
    await store.put(make_record("old", 1, metadata={"iteration": 0}))

    rows = await CheckpointManager(store).runs()
    assert [(row.status, row.due, row.iteration, row.error) for row in rows] == [
        ("running", None, 0, None),
        ("waiting", None, 0, None),
        ("running", None, 0, None),
    ]
