"""The object hook that users write: the page's examples, and what the hook gets to see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from spark.errors import DeserializationError, SerializationError
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.serialization.reader import TreeReader
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer
from spark.graphs.checkpoint.serialization.writer import TreeWriter
from spark_format_pickle import PickleFormat


@dataclass
class ModelState:
    weights: list[float]
    iteration: int
    accuracy: float

    def to_dict(self) -> dict[str, Any]:
        return {"weights": self.weights, "iteration": self.iteration, "accuracy": self.accuracy}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelState:
        return cls(**data)


class ModelCheckpointSerializer(CheckpointSerializer):
    def serialize(self, obj: Any) -> Any:
        if isinstance(obj, ModelState):
            return {"_type": "ModelState", "data": obj.to_dict()}
        return obj

    def deserialize(self, data: Any) -> Any:
        if isinstance(data, dict) and data.get("_type") == "ModelState":
            return ModelState.from_dict(data["data"])
        return data


class Recording(CheckpointSerializer):
    def __init__(self) -> None:
        self.down: list[Any] = []
        self.up: list[Any] = []

    def serialize(self, obj: Any) -> Any:
        self.down.append(obj)
        return obj

    def deserialize(self, data: Any) -> Any:
        self.up.append(data)
        return data


class Stars(CheckpointSerializer):
    """Changes every string, keys too, so that a place that one of the two ways leaves out shows."""

    def serialize(self, obj: Any) -> Any:
        return f"*{obj}" if type(obj) is str else obj

    def deserialize(self, data: Any) -> Any:
        return data[1:] if type(data) is str else data


def round_trip(value: Any, serializer: CheckpointSerializer) -> Any:
    format = JsonFormat()
    return TreeReader(serializer).value(format.loads(format.dumps(TreeWriter(serializer).tree(value))))


def make_checkpoint(**state: Any) -> GraphCheckpoint:
    return GraphCheckpoint(
        checkpoint_id="c", graph_id="g", timestamp=datetime(2024, 1, 1, tzinfo=UTC), graph_state=state
    )


@pytest.mark.parametrize("format", [JsonFormat(), PickleFormat(signing_key="key")], ids=lambda format: format.name)
def test_the_pages_example_works_in_every_format_and_at_every_depth(format: Any) -> None:
    codec = RecordCodec(format, serializer=ModelCheckpointSerializer())
    checkpoint = make_checkpoint(best=ModelState([1.5], 2, 0.5), all=[(ModelState([], 0, 0.0),)])

    record = codec.encode(checkpoint, sequence=1, manual=True, nonce="n")

    assert b"_type" in record.payload
    assert codec.decode(record).graph_state == checkpoint.graph_state


@pytest.mark.parametrize("format", [JsonFormat(), PickleFormat(signing_key="key")], ids=lambda format: format.name)
def test_the_hook_is_applied_to_the_same_places_on_both_ways(format: Any) -> None:
    codec = RecordCodec(format, serializer=Stars())
    value = {"k": ["a", ("b", {"c"}), frozenset({("d",)})], ("e", 1): "f", "$g": {"$h": "i"}}
    checkpoint = make_checkpoint(value=value, other="x")

    record = codec.encode(checkpoint, sequence=1, manual=True, nonce="n")

    assert codec.decode(record).graph_state == {"value": value, "other": "x"}
    assert b"*f" in record.payload


def test_the_hook_sees_every_object_and_on_the_way_up_children_first() -> None:
    hook = Recording()

    round_trip([{"a": (1, None)}, True], hook)

    assert hook.down == [[{"a": (1, None)}, True], {"a": (1, None)}, "a", (1, None), 1, None, True]
    assert hook.up == [1, None, (1, None), "a", {"a": (1, None)}, True, [{"a": (1, None)}, True]]


def test_what_the_hook_returns_is_taken_as_it_is_and_its_children_are_offered() -> None:
    """Otherwise a hook that wraps its object in a list would never end."""

    class Wrapping(CheckpointSerializer):
        def serialize(self, obj: Any) -> Any:
            return [1] if obj == "x" else ["x"] if isinstance(obj, list) else obj

    assert TreeWriter(Wrapping()).tree([5]) == [[1]]


@pytest.mark.parametrize("format", [JsonFormat(), PickleFormat(signing_key="key")], ids=lambda format: format.name)
def test_a_hook_that_raises_is_an_error_with_the_path(format: Any) -> None:
    class Broken(CheckpointSerializer):
        fails_on_load = False

        def serialize(self, obj: Any) -> Any:
            if obj == "bad" and not self.fails_on_load:
                raise KeyError("why")
            return obj

        def deserialize(self, data: Any) -> Any:
            if data == "bad":
                raise KeyError("why")
            return data

    serializer, checkpoint = Broken(), make_checkpoint(a=[1, "bad"])
    codec = RecordCodec(format, serializer=serializer)

    with pytest.raises(SerializationError, match="KeyError: 'why'") as caught:
        codec.encode(checkpoint, sequence=1, manual=True, nonce="n")
    serializer.fails_on_load = True
    record = codec.encode(checkpoint, sequence=1, manual=True, nonce="n")

    assert caught.value.path == "graph_state['a'][1]"
    with pytest.raises(DeserializationError, match=r"graph_state\['a'\]\[1\]"):
        codec.decode(record)


def test_a_container_in_itself_is_an_error_also_where_the_format_takes_objects() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(SerializationError, match="contains itself"):
        RecordCodec(PickleFormat(signing_key="k"), serializer=Stars()).encode(
            make_checkpoint(a=value), sequence=1, manual=True, nonce="n"
        )
