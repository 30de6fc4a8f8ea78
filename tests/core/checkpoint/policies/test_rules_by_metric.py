"""Rules that go by a metric, in runs, in every store: what they need is in listings, and survives a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    DatabaseCheckpointBackend,
    EveryIterations,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
    KeepAll,
    KeepBest,
    KeepLast,
    WhenImproved,
    open_backend,
)
from spark_testing.suites.walk import walk
from tests.support.variants import first_of

LOSSES = (0.9, 0.5, 0.7, 0.3, 0.8, 0.4)


STORES: dict[str, Any] = {
    "memory": lambda folder: InMemoryCheckpointBackend(),
    "file": lambda folder: FileCheckpointBackend(directory=str(folder)),
    "fsspec": lambda folder: FileCheckpointBackend(directory=f"memory://{uuid4().hex}"),
    "sqlite": lambda folder: DatabaseCheckpointBackend(f"sqlite:///{folder}/runs.db"),
}


@pytest.fixture(params=STORES)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


def graph_in(backend: CheckpointBackend, losses: Any = LOSSES, **settings: Any) -> Graph:
    states = [{"eval": {"loss": loss}} for loss in losses]
    return Graph(walk(states), id="g", checkpoint_config=CheckpointConfig(backend=backend, **settings))


async def sequences(backend: CheckpointBackend) -> list[int]:
    return [info.sequence for info in (await backend.list("g")).infos]


async def test_the_best_are_kept_and_the_latest(backend: CheckpointBackend) -> None:
    rule = KeepBest(2, "eval.loss", "min")

    await graph_in(backend, trigger_on_iteration=1, retention=rule).run()

    assert await sequences(backend) == [4, 6]


async def test_also_those_of_runs_before(backend: CheckpointBackend) -> None:
    """The run that continues looks at the history once, and sees the metrics there."""
    rule = KeepBest(2, "eval.loss", "min") | KeepLast(1)
    await graph_in(backend, (0.1, 0.9, 0.2), trigger_on_iteration=1, retention=rule).run()

    await graph_in(backend, (0.5, 0.4, 0.3, 0.3), trigger_on_iteration=1, retention=rule).run({"again": 1})

    assert await sequences(backend) == [1, 3, 7]


async def test_by_hand_as_runs_do(backend: CheckpointBackend) -> None:
    await graph_in(backend, trigger_on_iteration=1, retention=KeepAll(), metrics="eval.loss").run()

    pruned = await CheckpointManager(backend).prune(KeepBest(3, "eval.loss", "min"))

    assert [info.sequence for info in pruned] == [1, 3, 5]
    assert await sequences(backend) == [2, 4, 6]


async def test_pruning_by_hand_loads_no_payload(backend: CheckpointBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(backend, InMemoryCheckpointBackend):
        return  # there is nothing to load
    await graph_in(backend, trigger_on_iteration=1, retention=KeepAll(), metrics="eval.loss").run()

    with monkeypatch.context() as patch:
        for name in ("get", "get_many", "get_latest"):
            patch.setattr(backend, name, None)
        await CheckpointManager(backend).prune(KeepBest(1, "eval.loss", "min"), dry_run=True)


async def test_one_is_saved_when_it_improves(backend: CheckpointBackend) -> None:
    await graph_in(backend, trigger=WhenImproved("eval.loss", "min", 0.25), auto_cleanup=False).run()

    listed = await CheckpointManager(backend).list_checkpoints("g", with_metadata=True)
    assert [(info.metadata["iteration"], info.metadata["eval.loss"]) for info in listed] == [
        (1, 0.9),
        (2, 0.5),
        (6, 0.4),
    ]


async def test_better_ones_that_others_save_count(backend: CheckpointBackend) -> None:
    """0.3 is saved as the fourth, so 0.2 is not better by more than 0.25."""
    rule = WhenImproved("eval.loss", "min", 0.25) | EveryIterations(4)

    await graph_in(backend, (0.9, 0.5, 0.7, 0.3, 0.2, 0.0, 1), trigger=rule, auto_cleanup=False).run()

    listed = await CheckpointManager(backend).list_checkpoints("g", with_metadata=True)
    assert [info.metadata["iteration"] for info in listed] == [1, 2, 4, 6, 7]


PROGRAM = dedent(
    """
    import asyncio, os, signal, sys
    from spark.graphs import Graph, node
    from spark.graphs.checkpoint import CheckpointConfig, WhenImproved

    LOSSES = (0.9, 0.5, 0.7, 0.3, 0.8, 0.4, 0.2, 0.1)

    @node
    async def train(context):
        step = await context.graph_state.get("step", 0)
        if step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        await context.graph_state.set("loss", LOSSES[step])
        await context.graph_state.set("step", step + 1)
        return {"more": step + 1 < len(LOSSES)}

    train.on(more=True) >> train
    config = CheckpointConfig(backend=sys.argv[1], trigger=WhenImproved("loss", "min"), auto_cleanup=False)
    asyncio.run(Graph(train, id="killed", checkpoint_config=config).run(resume=True))
    """
)


def run_program(url: str, *, kill_at: int) -> int:
    return subprocess.run([sys.executable, "-c", PROGRAM, url, str(kill_at)]).returncode


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("store", first_of(["file://{}", "sqlite:///{}/runs.db"]))
async def test_what_was_the_best_is_known_after_a_kill(tmp_path: Path, store: str) -> None:
    """Killed before the 6th step, the run resumes after the 4th, whose 0.3 the 0.4 of the 6th does not improve on."""
    url = store.format(tmp_path)
    assert run_program(url, kill_at=5) == -signal.SIGKILL
    assert run_program(url, kill_at=-1) == 0

    async with open_backend(url) as backend:
        listed = await CheckpointManager(backend).list_checkpoints("killed", with_metadata=True)
    saved = [(info.metadata["iteration"], info.metadata["loss"]) for info in listed]
    assert saved == [(1, 0.9), (2, 0.5), (4, 0.3), (7, 0.2), (8, 0.1)]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: KeepBest(0, "loss"),
        lambda: KeepBest(1, "reason"),
        lambda: KeepBest(1, "loss", "least"),  # type: ignore[arg-type]
        lambda: KeepBest(1, "loss", keep_without=1),  # type: ignore[arg-type]
        lambda: WhenImproved(""),
        lambda: WhenImproved("loss", "best"),  # type: ignore[arg-type]
        lambda: WhenImproved("loss", min_delta=-1),
        lambda: WhenImproved("loss", min_delta=float("nan")),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(GraphDefinitionError, match=r"^(KeepBest|WhenImproved)\("):
        wrong()
