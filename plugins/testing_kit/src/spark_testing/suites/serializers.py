"""The suite that a serializer, the object hook, proves itself by."""

from __future__ import annotations

import copy
import json
import threading
from typing import Any, ClassVar, Final

import pytest

from spark.errors import PluginNotFoundError, SerializationError
from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointSerializer,
    InMemoryCheckpointBackend,
    serializer_class,
)
from spark.graphs.checkpoint.storage import RecordCodec
from spark_testing.suites.blob_memory import BlobMemory, PlainMemory
from spark_testing.suites.conformance import Conformance

_PLAIN: Final[list[Any]] = [
    None,
    True,
    0,
    -1.5,
    "",
    "text",
    b"bytes",
    [],
    {},
    (),
    [1, [2, {"a": "b"}]],
    {"_type": "x", "data": 1},
    {"$type": ["x", 1]},
    {1: 2, (3, "x"): None},
    {1, 2},
    frozenset("ab"),
    "x" * 20_000,
]
"""Values that are not those of any serializer."""


class SerializerConformance(Conformance):
    """What every serializer must do. Subclass it as ``Test…`` with the fixtures ``serializer`` and ``values``."""

    takes_options: ClassVar[bool] = False
    """It can't be made without options, so that a reader has to be given it."""

    @pytest.fixture
    def serializer(self) -> CheckpointSerializer:
        """A new serializer."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture 'serializer'.")

    @pytest.fixture
    def values(self) -> list[Any]:
        """Values that it makes saveable; each must come back exactly."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture 'values'.")

    def is_same(self, one: Any, other: Any) -> bool:
        """Whether a value came back exactly; for classes whose ``==`` is not enough, or no yes or no."""
        return type(one) is type(other) and bool(one == other)

    def test_is_needed_for_these_values(self, values: list[Any]) -> None:
        for value in values:
            with pytest.raises(SerializationError):
                pytest.fail(f"{_shown(value)} can be saved without it, as {RecordCodec().tree(value)!r:.200}")

    def test_gives_back_what_it_serialized(self, serializer: CheckpointSerializer, values: list[Any]) -> None:
        codec = RecordCodec(serializer=serializer)
        for value in values:
            json.dumps(codec.tree(value))
            replaced = serializer.serialize(value)
            assert replaced is not value, f"serialize() leaves {_shown(value)} alone, which can't be saved as it is."

    @pytest.mark.parametrize("store", [PlainMemory, BlobMemory])
    @pytest.mark.asyncio
    async def test_values_come_back_in_a_graph(
        self, serializer: CheckpointSerializer, values: list[Any], store: type[CheckpointBackend]
    ) -> None:
        """Alone and nested, in state and in inputs: containers are offered before what is in them, and given back after it."""
        state = {f"value {number}": [value, {"nested": (value, [value])}] for number, value in enumerate(values)}
        backend = store(serializer=serializer)
        await _graph(backend, state=state).run()
        restored = _graph(backend)
        await restored.run(resume=True)

        for number, value in enumerate(values):
            first, inner = await restored.get_state(f"value {number}")
            for back in (first, inner["nested"][0], inner["nested"][1][0]):
                assert self.is_same(value, back), f"{_shown(value)} came back as {_shown(back)}"

    @pytest.mark.asyncio
    async def test_everything_else_comes_back_as_it_was(self, serializer: CheckpointSerializer) -> None:
        """It sees every value of the program, most of which are not its own."""
        backend = InMemoryCheckpointBackend(serializer=serializer)
        await _graph(backend, state={"values": _PLAIN}).run()
        restored = _graph(backend)
        await restored.run(resume=True)

        assert await restored.get_state("values") == _PLAIN, (
            "Values that the serializer knows nothing of did not come back as they were: return them as they are."
        )

    def test_leaves_alone_what_is_not_its_own(self, serializer: CheckpointSerializer) -> None:
        """The very same object: a copy costs time at each value, and makes unchanged ones look changed."""
        for value in _PLAIN:
            assert serializer.serialize(value) is value, f"serialize() must return {_shown(value)} itself."
            assert serializer.deserialize(value) is value, f"deserialize() must return {_shown(value)} itself."

    @pytest.mark.asyncio
    async def test_what_looks_like_its_own_is_not_mistaken(
        self, serializer: CheckpointSerializer, values: list[Any]
    ) -> None:
        """Somebody's value may look like what ``serialize`` returns, and has to come back as that."""
        lookalikes = [serializer.serialize(value) for value in values]
        backend = InMemoryCheckpointBackend(serializer=serializer)
        await _graph(backend, state={"values": lookalikes}).run()
        restored = _graph(backend)
        await restored.run(resume=True)

        back = await restored.get_state("values")
        for lookalike, each in zip(lookalikes, back, strict=True):
            assert type(each) is type(lookalike), (
                f"{_shown(lookalike)}, which somebody may store, came back as {_shown(each)}: serialize() must mark it, as it "
                "marks its own."
            )

    def test_the_same_value_becomes_the_same(self, serializer: CheckpointSerializer, values: list[Any]) -> None:
        """A value that did not change is not asked about again, so what it becomes may depend on nothing else."""
        codec = RecordCodec(serializer=serializer)
        for value in values:
            first, again = codec.tree(value), codec.tree(value)
            assert first == again, f"serialize() made something else of {_shown(value)} the second time."

    def test_a_value_is_not_changed(self, serializer: CheckpointSerializer, values: list[Any]) -> None:
        """It is the program's, which goes on with it."""
        codec = RecordCodec(serializer=serializer)
        for value in values:
            before = copy.deepcopy(value)
            codec.tree(value)
            assert self.is_same(before, value), f"serialize() changed {_shown(before)} to {_shown(value)}"

    def test_works_in_any_thread(self, serializer: CheckpointSerializer, values: list[Any]) -> None:
        """Large checkpoints are encoded beside the event loop."""
        codec = RecordCodec(serializer=serializer)
        here = [codec.tree(value) for value in values]
        there: list[Any] = []
        thread = threading.Thread(target=lambda: there.extend(codec.tree(value) for value in values))
        thread.start()
        thread.join(timeout=60)

        assert there == here, "serialize() in another thread raised, or made something else of the same values."

    @pytest.mark.asyncio
    async def test_records_name_it_so_that_it_is_found_again(
        self, serializer: CheckpointSerializer, values: list[Any]
    ) -> None:
        """Where it is installed, a program loads what it wrote without naming it."""
        name = vars(type(serializer)).get("name", "")
        assert name, (
            "A serializer that a plugin provides needs a name of its own, that of its spec: records hold it, so that a reader "
            "finds it."
        )
        backend = InMemoryCheckpointBackend(serializer=serializer)
        await _graph(backend, state={"value": values[0]}).run()
        record = await backend.get("graph", 1)
        assert record is not None, "A run must leave a checkpoint."
        assert record.header.serializer == name, (
            f"The record that a run made must name the serializer {name!r}, so that a reader finds it."
        )
        try:
            installed = serializer_class(name)
        except PluginNotFoundError:
            return
        assert type(serializer) is installed, f"The installed serializer {name!r} is of another class."
        if not self.takes_options:
            loaded = RecordCodec().decode(record).graph_state["value"]
            assert self.is_same(values[0], loaded), (
                "A program that does not name the serializer must load what it wrote."
            )


def _graph(backend: CheckpointBackend, **options: Any) -> Graph:
    return Graph(start=ExitNode(), id="graph", checkpoint_config=CheckpointConfig(backend=backend), **options)


def _shown(value: Any) -> str:
    return f"the {type(value).__qualname__} {value!r:.200}"
