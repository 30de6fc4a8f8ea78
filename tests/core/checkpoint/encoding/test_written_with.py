"""A record names what it was written with. Where that can't be used here, the error names the checkpoint, and names it once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from spark.errors import DeserializationError, PluginBrokenError, PluginNotFoundError, SparkError
from spark.graphs.checkpoint import CheckpointManager, CheckpointSerializer, GraphCheckpoint, InMemoryCheckpointBackend
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.storage import Format, Record, RecordCodec
from spark.hooks import CodecSpec, FormatSpec, SerializerSpec, hookimpl, register

CHECKPOINT = "Checkpoint 'c' (graph 'g', sequence 1) was written with the "
WRITTEN_WITH = {
    "format": {"format": "theirs"},
    "serializer": {"serializer": "theirs"},
    "codec": {"codecs": ("theirs",)},
}


class Plugin:
    """Provides one class as whatever is asked for."""

    def __init__(self, target: str) -> None:
        self.target = f"{__name__}:{target}"

    @hookimpl
    def spark_formats(self) -> list[FormatSpec]:
        return [FormatSpec(name="theirs", target=self.target)]

    @hookimpl
    def spark_serializers(self) -> list[SerializerSpec]:
        return [SerializerSpec(name="theirs", target=self.target)]

    @hookimpl
    def spark_codecs(self) -> list[CodecSpec]:
        return [CodecSpec(name="theirs", target=self.target)]


class Nothing:
    """Neither a format nor a serializer nor a codec."""


class UnsafeFormat(Format):
    name = "theirs"
    suffix = "theirs"

    def dumps(self, tree: Any) -> bytes:
        return b""

    def loads(self, data: bytes) -> Any:
        return {}


class UnsafeSerializer(CheckpointSerializer):
    name = "theirs"


class SafeSerializer(CheckpointSerializer):
    name = "theirs"
    safe_to_load = True

    def __init__(self, zone: str) -> None:
        self.zone = zone


def written_with(kind: str) -> Record:
    checkpoint = GraphCheckpoint("c", "g", datetime(2024, 5, 1, tzinfo=UTC), {}, {}, {})
    record = RecordCodec().encode(checkpoint, sequence=1, manual=True, nonce="n")
    header = replace(record.header, **WRITTEN_WITH[kind])  # type: ignore[arg-type]
    header.checksum = checksum("sha256", header.canonical(), record.payload)
    return Record(header, record.payload)


async def said_of(kind: str, error: type[SparkError]) -> str:
    store = InMemoryCheckpointBackend()
    await store.put(written_with(kind))
    with pytest.raises(error) as caught:
        await CheckpointManager(store).load_checkpoint("c")
    return str(caught.value)


@pytest.mark.parametrize("kind", WRITTEN_WITH)
async def test_what_is_not_installed(kind: str) -> None:
    said = await said_of(kind, PluginNotFoundError)

    assert said.startswith(f"{CHECKPOINT}{kind} 'theirs': No installed plugin provides the {kind} 'theirs'")
    assert said.count("'c'") == 1


@pytest.mark.parametrize("kind", WRITTEN_WITH)
async def test_what_is_broken(kind: str) -> None:
    with register(Plugin("Nothing")):
        said = await said_of(kind, PluginBrokenError)

    assert said.startswith(f"{CHECKPOINT}{kind} 'theirs': The {kind} 'theirs' of the plugin")
    assert said.count("'c'") == 1


@pytest.mark.parametrize(("kind", "target"), [("format", "UnsafeFormat"), ("serializer", "UnsafeSerializer")])
async def test_what_has_to_be_asked_for(kind: str, target: str) -> None:
    with register(Plugin(target)):
        said = await said_of(kind, DeserializationError)

    assert said.startswith(f"{CHECKPOINT}{kind} 'theirs'. Loading that can run code")
    assert said.count("'c'") == 1


async def test_what_needs_options() -> None:
    with register(Plugin("SafeSerializer")):
        said = await said_of("serializer", DeserializationError)

    assert said == (
        f"{CHECKPOINT}serializer 'theirs': the serializer 'theirs' needs zone. Open the store with "
        "serializer={'theirs': {…}} and the options that it was written with."
    )
