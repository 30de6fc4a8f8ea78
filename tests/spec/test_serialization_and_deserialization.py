"""Serialization and Deserialization."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Self

import pydantic
import pytest

from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from tests.spec.conftest import PageBlock


class Settings(pydantic.BaseModel):
    rate: float
    layers: tuple[int, ...]


class MyCustomType:
    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MyCustomType) and other.name == self.name

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        return cls(**data)


@pytest.mark.parametrize(
    "value",
    [
        *(42, -1.5, "text", True, None),
        *([1, [2]], {"a": {"b": 1}}, (1, (2,)), {1, 2}),
        *(datetime(2024, 1, 1, 12, 30, 45, 123456), datetime(2024, 1, 1, tzinfo=UTC)),
        datetime(2024, 7, 1, tzinfo=timezone(timedelta(hours=2))),
        Settings(rate=0.1, layers=(3, 4)),
        {"all": [(Settings(rate=0.5, layers=()), {datetime(2024, 1, 1)})]},
    ],
    ids=repr,
)
async def test_a_serializable_type_comes_back_as_itself(value: Any, files: FileCheckpointBackend) -> None:
    loaded = await stored_and_loaded(value, files)

    assert loaded == value
    assert type(loaded) is type(value)


async def test_the_states_of_nodes_come_back(files: FileCheckpointBackend) -> None:
    class Remembering(Node):
        async def process(self, context: NodeContext) -> None:
            context.state["seen"] = {(1, 2)}

    await Graph(start=Remembering(), id="g", checkpoint_config=CheckpointConfig(backend=files)).run()
    checkpoint = await CheckpointManager(files).load_latest("g")

    assert checkpoint is not None
    assert checkpoint.node_states == {"Remembering": {"seen": {(1, 2)}}}


@pytest.mark.block("Custom Serialization")
async def test_a_custom_type_is_saved_by_its_serializer(block: PageBlock) -> None:
    backend = (await block.run(MyCustomType=MyCustomType))["backend"]
    value = {"plain": MyCustomType("a"), "nested": [(MyCustomType("b"),)], "other": {"_type": "mine", "data": 1}}

    assert await stored_and_loaded(value, backend) == value


@pytest.mark.block("Example: Complex State Serialization")
@pytest.mark.parametrize("make", [InMemoryCheckpointBackend, FileCheckpointBackend])
async def test_a_models_state_is_saved_by_its_serializer(
    block: PageBlock, make: Callable[..., CheckpointBackend]
) -> None:
    names = await block.run()
    directory = {"directory": str(block.directory)} if make is FileCheckpointBackend else {}
    state = names["ModelState"](weights=[0.25, -1.0], iteration=7, accuracy=0.9)

    async with make(**directory, serializer=names["ModelCheckpointSerializer"]()) as backend:
        loaded = await stored_and_loaded(state, backend)

    assert loaded == state
    assert type(loaded) is names["ModelState"]


async def stored_and_loaded(value: Any, backend: CheckpointBackend) -> Any:
    """The value of a state after a run, a checkpoint, and a restored graph."""
    graph = Graph(start=ExitNode(), id="g", state={"value": value}, checkpoint_config=CheckpointConfig(backend=backend))
    await graph.run()
    checkpoint = await CheckpointManager(backend).load_latest("g")
    assert checkpoint is not None
    return await Graph.from_checkpoint(checkpoint).get_state("value")
