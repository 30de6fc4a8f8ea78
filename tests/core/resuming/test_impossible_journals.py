"""Intact checkpoints whose journals say what no run ever said: one family of errors, and nothing runs."""

from __future__ import annotations

import asyncio
import random
import warnings
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import pytest

from spark.errors import CheckpointDamagedError, GraphRestoreError, SparkError
from spark.graphs import Budget, Graph, JoinNode, Node, NodeContext, Retry, Task
from spark.graphs.checkpoint import GraphCheckpoint, InMemoryCheckpointBackend
from spark_testing.clock import SkippingClock
from tests.core.resuming.test_impossible_checkpoints import MISSING, WRONG, changed, places
from tests.support.running import every_step, history
from tests.support.variants import in_full, tries


class Split(Node):
    async def process(self, context: NodeContext) -> Any:
        return {"items": [1, 2]}


class Clerk(Node):
    """Has an entry of each kind; not all at once, so that a changed one is come upon."""

    retry = Retry(max_attempts=9, jitter=False)

    async def process(self, context: NodeContext) -> Any:
        calls = context.durable(record_errors=True)
        for function in (dict, float):
            with suppress(TypeError, RuntimeError):
                await calls.run("call", function, [])  # type: ignore[arg-type]
        if context.attempt == 1:
            raise ConnectionError("for once")
        assert context.last_error is not None
        await asyncio.gather(
            context.sleep(timedelta(days=1)),
            context.interrupt({"item": context.inputs}, key="review", schema=int),
            context.interrupt("second?"),
        )
        return {}


def graph_on(backend: InMemoryCheckpointBackend) -> Graph:
    split = Split()
    split.each("items") >> Clerk() >> JoinNode(name="join")
    return Graph(split, id="impossible", checkpoint_config=every_step(backend), clock=SkippingClock())


@pytest.fixture
async def intact() -> GraphCheckpoint:
    """Made while both items wait, after a failure, a recorded error and an answer that was wrong."""
    backend = InMemoryCheckpointBackend()
    asked = (await graph_on(backend).run()).interrupts
    await graph_on(backend).run(resume={asked[0].id: "wrong"})
    checkpoint = (await history(graph_on(backend)))[-1]
    assert checkpoint.frontier is not None
    return checkpoint


FIRST: Final = "2.0/"
QUESTION: Final = f"{FIRST}interrupt:review"


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ((), []),
        (("7/call:x",), {"value": 1}),
        (("2/call:x",), {"value": 1}),
        (("2.0",), {"value": 1}),
        ((f"{FIRST}x",), {"value": 1}),
        ((f"{FIRST}:x",), {"value": 1}),
        ((f"{FIRST}call:x",), {}),
        ((f"{FIRST}call:x",), {"error": "ValueError"}),
        ((f"{FIRST}call:x",), {"error": {"type": "builtins:ValueError", "message": "x", "args": [{}]}}),
        ((f"{FIRST}call:x",), {"value": 1, "number": 0}),
        ((QUESTION,), 5),
        ((QUESTION, "id"), MISSING),
        ((QUESTION, "id"), 5),
        ((QUESTION, "payload"), MISSING),
        ((QUESTION, "since"), "yesterday"),
        ((QUESTION, "since"), "2026-01-01T00:00:00"),
        ((QUESTION, "key"), None),
        ((QUESTION, "schema"), "int"),
        ((QUESTION, "refused"), 5),
        ((QUESTION, "tries"), -1),
        ((QUESTION, "over"), False),
        ((QUESTION, "aside"), 1),
        ((QUESTION, 5), 1),
        ((f"{FIRST}sleep:1", "due"), MISSING),
        ((f"{FIRST}sleep:1", "due"), "2026-99-01T00:00:00+00:00"),
        ((f"{FIRST}retry", "failure"), MISSING),
        ((f"{FIRST}retry", "failure", "time"), 5),
        ((f"{FIRST}retry", "idle"), float("nan")),
        ((f"{FIRST}signal:x",), {"due": "soon"}),
    ],
    ids=str,
)
async def test_what_no_run_writes_is_named_and_nothing_runs(
    intact: GraphCheckpoint, path: tuple[Any, ...], wrong: Any
) -> None:
    mutant = changed(intact, "frontier", ("journal", *path), wrong)
    with pytest.raises(GraphRestoreError, match=r"has an invalid frontier: .*journal"):
        await graph_on(InMemoryCheckpointBackend()).run(resume=mutant)


async def test_two_questions_have_two_ids(intact: GraphCheckpoint) -> None:
    assert intact.frontier is not None
    id = intact.frontier["journal"]["2.1/interrupt:review"]["id"]
    mutant = changed(intact, "frontier", ("journal", QUESTION, "id"), id)
    with pytest.raises(GraphRestoreError, match="has the id of another question"):
        await graph_on(InMemoryCheckpointBackend()).run(resume=mutant)


@in_full
async def test_whatever_stands_anywhere_in_one_only_our_errors_come_of_it(intact: GraphCheckpoint) -> None:
    assert intact.frontier is not None
    journal = intact.frontier["journal"]
    every = [(("journal", *path), wrong) for path in places(journal) for wrong in (*WRONG, MISSING)]
    task = Task(budget=Budget(max_iterations=30))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, wrong in random.Random(16).sample(every, tries(250)):
            mutant = changed(intact, "frontier", path, wrong)
            ids = [each.id for each in await _interrupts(mutant)]
            try:
                message = await graph_on(InMemoryCheckpointBackend()).run(task, resume=mutant)
                assert message.status in ("interrupted", "completed")
                await _answered(mutant, ids)
            except SparkError as error:
                str(error)
            except Exception as error:
                pytest.fail(f"{path} = {wrong!r}: {type(error).__name__}: {error}")


async def _interrupts(mutant: GraphCheckpoint) -> tuple[Any, ...]:
    try:
        return mutant.interrupts()
    except CheckpointDamagedError:
        return ()


async def _answered(mutant: GraphCheckpoint, ids: list[str]) -> None:
    backend = InMemoryCheckpointBackend()
    await mutant.save(backend)
    await graph_on(backend).run(resume=dict.fromkeys(ids, 1))
