"""``trigger_on_start``: a run is saved before its first step, so that even that one is told apart when it is repeated."""

from __future__ import annotations

from typing import Any

import pytest

from spark.errors import BackendError
from spark.graphs import Graph, NodeContext, Task
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, Durability, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import Record
from tests.support.running import Does, Failure, history


class Killed(BaseException):
    """Ends a run as nothing within it expects."""


class Keys:
    """Two steps that note their idempotency keys; the first can be cut off."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.cut_off = False
        self.first = Does(self._note, name="first")
        self.first >> Does(self._note, name="second")

    async def _note(self, context: NodeContext) -> Any:
        self.seen.append((context.idempotency_key, context.inputs))
        if self.cut_off:
            raise Killed
        return {"from": "note"}


def graph(keys: Keys, backend: CheckpointBackend, *, durability: Durability = "sync", on_start: bool = True) -> Graph:
    # Killed at once: nothing is saved on the way out.
    config = CheckpointConfig(
        backend=backend, trigger_on_start=on_start, durability=durability, trigger_on_cancel=False
    )
    return Graph(start=keys.first, id="g", checkpoint_config=config)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_first_step_that_is_cut_off_is_repeated_as_the_same_work(durability: Durability) -> None:
    keys, backend = Keys(), InMemoryCheckpointBackend()
    keys.cut_off = True
    with pytest.raises(Killed):
        await graph(keys, backend, durability=durability).run(Task(inputs={"order": 17}))
    keys.cut_off = False

    await graph(keys, backend, durability=durability).run(resume=True)

    cut_off, repeated, second = keys.seen
    assert repeated == cut_off
    assert repeated[1] == {"order": 17}
    assert second[0] != repeated[0]


async def test_without_it_such_a_run_begins_anew() -> None:
    keys, backend = Keys(), InMemoryCheckpointBackend()
    keys.cut_off = True
    with pytest.raises(Killed):
        await graph(keys, backend, on_start=False).run(Task(inputs={"order": 17}))
    keys.cut_off = False

    await graph(keys, backend, on_start=False).run(resume=True)

    assert (await backend.list("g")).infos
    assert keys.seen[1][0] != keys.seen[0][0]


async def test_a_run_that_goes_on_is_not_saved_again_at_its_start() -> None:
    keys, backend = Keys(), InMemoryCheckpointBackend()
    keys.cut_off = True
    with pytest.raises(Killed):
        await graph(keys, backend).run()
    keys.cut_off = False

    resumed = graph(keys, backend)
    await resumed.run(resume=True)

    reasons = [checkpoint.execution_metadata["reason"] for checkpoint in await history(resumed)]
    assert reasons == ["started", "completed"]


async def test_no_step_is_made_when_the_start_can_not_be_saved() -> None:
    class Full(InMemoryCheckpointBackend):
        async def put(self, record: Record) -> None:
            raise BackendError("the disk is full")

    keys = Keys()

    with pytest.raises(BackendError, match="full"):
        await graph(keys, Full()).run()
    assert keys.seen == []


async def test_a_failure_in_the_first_step_is_saved_after_it() -> None:
    async def fail(context: NodeContext) -> Any:
        raise Failure("at once")

    failing = Graph(start=Does(fail, name="only"), id="g", checkpoint_config=CheckpointConfig(trigger_on_start=True))

    with pytest.raises(Failure):
        await failing.run()

    reasons = [checkpoint.execution_metadata["reason"] for checkpoint in await history(failing)]
    assert reasons == ["started", "failed"]
