"""Edits and forks are written in the format, compression and codecs of the store, whatever these are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import (
    CheckpointManager,
    CheckpointSerializer,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from spark_backend_sql import DatabaseCheckpointBackend
from spark_format_pickle import PickleFormat
from tests.support.aes_gcm import AesGcm
from tests.support.running import Does, Failure, every_step
from tests.support.variants import one_apart


@dataclass
class Money:
    """A type that nobody registers."""

    cents: int


class WritesMoney(CheckpointSerializer):
    def serialize(self, obj: Any) -> Any:
        return {"money": obj.cents} if type(obj) is Money else obj

    def deserialize(self, data: Any) -> Any:
        return Money(data["money"]) if type(data) is dict and data.keys() == {"money"} else data


async def grow(context: NodeContext) -> Any:
    if context.iteration == 3:
        raise Failure("here")
    await context.graph_state.append("many", *[{"text": "x" * 60, "money": Money(5)} for _ in range(300)])
    await context.graph_state.set("large", b"\x00\x01" * 20_000)
    return {"more": True}


def failing(store: Any) -> Graph:
    loop = Does(grow, name="grow")
    loop.on(more=True) >> loop
    return Graph(loop, id="g", state={"many": [], "old": 1}, checkpoint_config=every_step(store))


OPTIONS: dict[str, dict[str, Any]] = {
    "json": {},
    "indented": {"pretty_print": True},
    "compressed": {"compression": True},
    "encrypted": {"codec": AesGcm("6b" * 32), "compression": "gzip"},
    "msgpack": {"format": "msgpack"},
    "pickle": {"format": PickleFormat(signing_key="k" * 32)},
    "serializer": {"serializer": WritesMoney()},
    "serialized pickle": {"format": PickleFormat(signing_key="k" * 32), "serializer": WritesMoney()},
}


@pytest.mark.parametrize(("kind", "name"), one_apart(["file", "sqlite", "memory"], [*OPTIONS]))
async def test_an_edit_and_a_fork_are_read_as_any_other_checkpoint(kind: str, name: str, tmp_path: Path) -> None:
    options = OPTIONS[name]
    store: Any = (
        FileCheckpointBackend(tmp_path, **options)
        if kind == "file"
        else DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/runs.db", **options)
        if kind == "sqlite"
        else InMemoryCheckpointBackend(**options)
    )
    with pytest.raises(Failure):
        await failing(store).run()
    manager = CheckpointManager(store)
    before = await manager.load_latest("g")
    assert before is not None

    await manager.edit("g", set={"new": (Money(1), {2})}, append={"many": [Money(2)]}, delete=["old"])
    edited = await manager.load_latest("g")
    assert edited is not None
    await manager.fork(edited.checkpoint_id, "copy", append={"many": [3]})
    await manager.forget("g")

    fork = await manager.load_latest("copy")
    assert fork is not None
    assert edited.graph_state == {
        "many": [*before.graph_state["many"], Money(2)],
        "large": before.graph_state["large"],
        "new": (Money(1), {2}),
    }
    assert fork.graph_state == {**edited.graph_state, "many": [*edited.graph_state["many"], 3]}
    assert edited.frontier == before.frontier
    assert not (await manager.verify()).damaged
    if kind != "memory":
        await store.close()
