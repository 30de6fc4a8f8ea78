"""What the view keeps of histories stays within its bounds, whatever is stored."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from spark.errors import CheckpointNotFoundError
from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointManager,
    InMemoryCheckpointBackend,
    KeepAll,
    open_backend,
)
from spark_ui.access import histories
from spark_ui.access.histories import Histories
from spark_ui.access.kept import Kept
from tests.plugins.ui.run import programs

CALLS = 20


@node
async def ask(context: NodeContext) -> None:
    """Results of durable calls are pending work; those that stay are stored apart from the records."""
    for number in range(CALLS):
        await context.run(f"call {number}", str.upper, f"{number % 10}" * 100_000)
    await context.interrupt("go on?")


async def test_pending_work_is_weighed_with_its_large_values(tmp_path: Path) -> None:
    store = open_backend(f"sqlite:///{tmp_path}/runs.db")
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, retention=KeepAll())
    await Graph(ask, id="g", checkpoint_config=config).run()
    kept = Histories(CheckpointManager(store))

    last = (await kept.past("g")).entries[-1]
    await kept.outline(last)
    await store.close()

    assert (last.size or 0) < CALLS * 1_000, "most is stored apart"
    assert kept.outlines.weight > CALLS * 100_000


async def test_those_that_were_used_last_are_kept() -> None:
    kept = Kept[int](10, weigh=lambda value: value)

    async def make(value: int) -> int:
        return value

    for value in (4, 5, 4, 3):
        await kept.get(value, lambda value=value: make(value))

    assert [value in kept for value in (3, 4, 5)] == [True, True, False]
    assert kept.weight == 7


async def test_what_could_not_be_made_is_made_again_and_those_who_wait_share_it() -> None:
    kept, made = Kept[str](1), list[int]()

    async def make() -> str:
        made.append(1)
        await asyncio.sleep(0)
        if len(made) == 1:
            raise CheckpointNotFoundError("gone")
        return "there"

    with pytest.raises(CheckpointNotFoundError):
        await kept.get("a", make)

    assert await asyncio.gather(kept.get("a", make), kept.get("a", make)) == ["there", "there"]
    assert len(made) == 2


class Listed(InMemoryCheckpointBackend):
    """Counts how often more than one checkpoint was asked for."""

    listed = 0

    async def query(self, query: Any) -> Any:
        self.listed += 1
        return await super().query(query)


async def test_a_history_that_stands_still_is_not_listed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "_FRESH", -1.0)  # every look is a new one
    backend = Listed()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, retention=KeepAll())
    graph = Graph(programs.large, id="g", checkpoint_config=config)
    await graph.run()
    kept = Histories(CheckpointManager(backend))
    known = await kept.past("g")
    listed = backend.listed

    assert await kept.past("g") is known
    assert backend.listed == listed
    await graph.run()
    assert len(await kept.past("g")) > len(known)
