"""A process that edits or forks is killed at any moment: then all of that is there, or nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, FileCheckpointBackend
from spark_backend_sql import DatabaseCheckpointBackend
from tests.crash.children import be_a_child
from tests.support.running import Does

What = Literal["edit", "fork", "branch"]
STORES = {"file": FileCheckpointBackend, "sqlite": DatabaseCheckpointBackend}
REST = [("file", "fork"), ("file", "branch"), ("sqlite", "edit"), ("sqlite", "branch")]
METHODS = ("next_sequence", "get_latest", "get_blobs", "put_blobs", "put")


async def grow(context: NodeContext) -> Any:
    await context.graph_state.append("many", *["x" * 60 for _ in range(400)])
    return await context.wait_for("go") if context.iteration == 4 else {"more": True}


def growing(store: Any) -> Graph:
    loop = Does(grow, name="grow")
    loop.on(more=True) >> loop
    config = CheckpointConfig(backend=store, trigger_on_iteration=1)
    return Graph(loop, id="g", state={"many": []}, checkpoint_config=config)


async def change(store: Any, what: What) -> None:
    manager = CheckpointManager(store)
    if what == "edit":
        await manager.edit("g", append={"many": ["new"]}, as_node="grow", output={"more": False})
    else:
        newest = (await manager.list_checkpoints("g"))[-1]
        await manager.fork(newest.checkpoint_id, "copy" if what == "fork" else None, set={"new": "y" * 30_000})


async def killed(kind: str, place: str, what: What, at: tuple[str, bool]) -> None:
    """Do it, and die before or after a call of a method of the store."""

    class Dies(STORES[kind]):  # type: ignore[misc]
        pass

    def dying(name: str) -> Any:
        async def call(self: Any, *arguments: Any) -> Any:
            if at == (name, False):
                os.kill(os.getpid(), signal.SIGKILL)
            done = await getattr(STORES[kind], name)(self, *arguments)
            if at == (name, True):
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return call

    for name in METHODS:
        setattr(Dies, name, dying(name))
    await change(Dies(place), what)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("file", "edit"),
        pytest.param("sqlite", "fork", marks=pytest.mark.thorough),
        *(pytest.param(*each, marks=pytest.mark.thorough) for each in REST),
    ],
)
async def test_a_kill_leaves_all_or_nothing(kind: str, what: What, tmp_path: Path) -> None:
    place = str(tmp_path / "store") if kind == "file" else f"sqlite:///{tmp_path}/store.db"
    store = STORES[kind](place)
    await growing(store).run(wait=False)
    manager = CheckpointManager(store)
    before = await _counts(manager)
    await store.close()
    reached = set()

    for name in METHODS:
        for is_after in (False, True):
            child = os.fork()
            if child == 0:
                be_a_child(lambda at=(name, is_after): killed(kind, place, what, at))  # type: ignore[misc]
            _, status = await asyncio.to_thread(os.waitpid, child, 0)

            store = STORES[kind](place)
            manager = CheckpointManager(store)
            found, was_killed = await _counts(manager), os.WIFSIGNALED(status)
            assert (found != before) is ((name == "put" and is_after) or not was_killed)
            assert not (await manager.verify()).damaged
            if what == "fork":
                await manager.forget("copy")
                assert not await store.blob_names("copy")
            else:
                before = found
            reached |= {name} if was_killed else set()
            await store.close()

    assert reached >= ({*METHODS} if what == "fork" else {"next_sequence", "get_latest", "put"})


async def _counts(manager: CheckpointManager) -> Sequence[tuple[str, int]]:
    return [(graph_id, len(await manager.list_checkpoints(graph_id))) for graph_id in await manager.graph_ids()]
