"""Codecs: what a store holds passes through them, whatever store it is, and who lacks a key is told so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spark.errors import (
    BudgetExceededError,
    CheckpointDamagedError,
    DeserializationError,
    GraphDefinitionError,
    PluginNotFoundError,
    SerializationError,
)
from spark.graphs import Budget, Graph, Node, NodeContext, Task
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    CheckpointSerializer,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.storage import Codec, Record, RecordCodec, RecordHeader
from spark.hooks import CodecSpec, SerializerSpec, hookimpl, register
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing import CodecConformance
from spark_testing.suites.blob_memory import BlobMemory, PlainMemory
from tests.support import aes_gcm
from tests.support.aes_gcm import KEY_VARIABLE, AesGcm
from tests.support.variants import one_apart

KEY, OTHER_KEY = "07" * 32, "08" * 32
SECRET = "the patient's name "


class TestAesGcm(CodecConformance):
    @pytest.fixture
    def codec(self) -> AesGcm:
        return AesGcm(KEY)

    @pytest.fixture
    def another(self) -> AesGcm:
        return AesGcm(OTHER_KEY)


class Shift(Codec):
    """Adds to each byte; another one for each order, so that the order shows."""

    name = "shift"

    def __init__(self, by: int) -> None:
        self.by = by

    def encode(self, data: bytes) -> bytes:
        return bytes((byte + self.by) % 256 for byte in data)

    def decode(self, data: bytes, *, limit: int) -> bytes:
        return bytes((byte - self.by) % 256 for byte in data[: limit + 1])


class Reverse(Codec):
    name = "reverse"

    def encode(self, data: bytes) -> bytes:
        return b"<" + data[::-1]

    def decode(self, data: bytes, *, limit: int) -> bytes:
        return data[:0:-1]


class Squeeze(Codec):
    """Compresses, and looks at no limit."""

    name = "squeeze"

    def encode(self, data: bytes) -> bytes:
        return zlib.compress(data)

    def decode(self, data: bytes, *, limit: int) -> bytes:
        return zlib.decompress(data)


class Plugin:
    @hookimpl
    def spark_codecs(self) -> list[CodecSpec]:
        return [CodecSpec(name=kind.name, target=f"{__name__}:{kind.__name__}") for kind in (Shift, Reverse, Squeeze)]

    @hookimpl
    def spark_serializers(self) -> list[SerializerSpec]:
        return [
            SerializerSpec(name="upper", target=f"{__name__}:Upper"),
            SerializerSpec(name="unsafe", target=f"{__name__}:Unsafe"),
        ]


class Upper(CheckpointSerializer):
    name = "upper"
    safe_to_load = True

    def serialize(self, obj: Any) -> Any:
        return obj.swapcase() if isinstance(obj, str) else obj

    deserialize = serialize


class Unsafe(Upper):
    name = "unsafe"
    safe_to_load = False


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    with register(Plugin(), name="their-codecs"), register(aes_gcm, name="aes-gcm"):
        yield


class Add(Node):
    async def process(self, context: NodeContext) -> Any:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        await context.graph_state.set("text", SECRET * count)
        await context.graph_state.set(f"large {count % 2}", SECRET * 1000 + str(count))
        return {"more": count < 4}


def make_graph(backend: CheckpointBackend) -> Graph:
    add = Add()
    add.on(more=True) >> add
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)
    backend.blob_cost = 4096
    return Graph(start=add, id="g", checkpoint_config=config)


def open_store(kind: str, folder: Path, **options: Any) -> CheckpointBackend:
    if kind == "file":
        return FileCheckpointBackend(directory=folder, **options)
    return DatabaseCheckpointBackend(f"sqlite:///{folder}/store.db", **options)


async def records_of(backend: CheckpointBackend) -> list[Record]:
    found = [await backend.get("g", info.sequence) for info in (await backend.list("g")).infos]
    return [record for record in found if record is not None]


@pytest.mark.parametrize(
    ("kind", "format", "compression"),
    one_apart(["file", "sqlite"], ["json", "msgpack", "pickle"], ["", "gzip", "zstd"]),
)
async def test_nothing_secret_is_stored_and_everything_comes_back(
    kind: str, format: str, compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_PICKLE_KEY", "k")
    async with open_store(kind, tmp_path, format=format, codec="aes-gcm", compression=compression) as backend:
        await make_graph(backend).run()
        assert {record.header.codecs for record in await records_of(backend)} == {("aes-gcm",)}
        names = await backend.blob_names("g")
        assert bool(names) is (format != "pickle")
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in stored

    async with open_store(kind, tmp_path, format=format) as backend:  # finds the codec by itself, and the key with it
        manager = CheckpointManager(backend)
        assert (await manager.verify()).intact == 4
        assert (await manager.load_checkpoint("ckpt_g_000003")).graph_state["text"] == SECRET * 3


@pytest.mark.parametrize("kind", ["file", "sqlite"])
async def test_without_the_key_a_store_can_be_listed_checked_and_pruned_but_not_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(kind, tmp_path, codec="aes-gcm") as backend:
        await make_graph(backend).run()
    monkeypatch.delenv(KEY_VARIABLE)

    async with open_store(kind, tmp_path) as backend:
        manager = CheckpointManager(backend)
        with pytest.raises(DeserializationError, match=r"Open the store with codec=\{'aes-gcm': \{…\}\}"):
            await manager.load_checkpoint("ckpt_g_000003")
        found = await manager.verify()
        assert (found.intact, len(found.unreadable), found.is_fine) == (0, 4, True)
        assert "aes-gcm" in str(found.unreadable[0][1])
        names = await backend.blob_names("g")
        assert await manager.delete_checkpoint("ckpt_g_000001")
        assert await backend.blob_names("g") == names, "Nobody can tell without the key which of them are needed."


async def test_another_key_is_an_error_that_says_so_and_never_a_fresh_start(tmp_path: Path) -> None:
    async with FileCheckpointBackend(directory=tmp_path, codec=AesGcm(KEY)) as backend:
        await make_graph(backend).run()

    async with FileCheckpointBackend(directory=tmp_path, codec={"aes-gcm": {"key": OTHER_KEY}}) as backend:
        with pytest.raises(DeserializationError, match=r"codec 'aes-gcm' .*such as another key"):
            await make_graph(backend).run(resume=True)


async def test_codecs_are_applied_in_order_and_undone_in_reverse() -> None:
    backend = BlobMemory(codec=[{"shift": {"by": 3}}, "reverse"])
    await make_graph(backend).run()
    record = await backend.get_latest("g")

    assert record is not None
    assert record.header.codecs == ("shift", "reverse")
    assert record.payload.startswith(b"<" + bytes((ord("}") + 3,)))
    stored = RecordCodec(codec=Shift(3)).open(record).tree["graph_state"]["$chunks"]
    assert stored["tail"]["values"]["text"] == SECRET * 4
    assert stored["codecs"] == ["shift", "reverse"]


@pytest.mark.parametrize("compression", ["", "gzip"])
async def test_in_a_file_only_the_header_is_text(compression: str, tmp_path: Path) -> None:
    """What is transformed is no JSON, so it must not stand in a JSON document, nor between members of gzip."""
    async with FileCheckpointBackend(directory=tmp_path, codec="reverse", compression=compression) as backend:
        await Graph(start=Add(), id="g").create_checkpoint("c").save(backend)
    (file,) = tmp_path.rglob("*.ckpt")
    head, payload = file.read_bytes().split(b"\n", 1)

    assert json.loads(head)["header"]["codecs"] == ["reverse"]
    assert payload[:1] == b"<"
    assert len(payload) == json.loads(head)["header"]["size"]


async def test_what_one_codec_wrote_is_read_beside_what_another_wrote(tmp_path: Path) -> None:
    """Codecs may be changed at any time: each record and each large value names its own."""
    for codec in (None, "reverse", AesGcm(KEY)):
        async with FileCheckpointBackend(directory=tmp_path, codec=codec) as backend:
            with suppress(BudgetExceededError):
                await make_graph(backend).run(Task(budget=Budget(max_iterations=1)), resume=True)

    async with FileCheckpointBackend(directory=tmp_path) as backend:
        used = {record.header.codecs for record in await records_of(backend)}
        assert used == {(), ("reverse",), ("aes-gcm",)}
        assert (await CheckpointManager(backend).verify()).intact == len(await records_of(backend))
        assert (await make_graph(backend).run(resume=True)).content == {"more": False}


PROGRAM = f"""
import asyncio, os, signal, sys
from spark.graphs import Graph, Node
from spark.graphs.checkpoint import CheckpointConfig, FileCheckpointBackend
from spark.hooks import register
from tests.support import aes_gcm

class Step(Node):
    async def process(self, context):
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        await context.graph_state.set("large", {SECRET!r} * 1000 + str(count))
        if count == 4 and sys.argv[1] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return {{"more": count < 6}}

async def main():
    register(aes_gcm)
    step = Step()
    step.on(more=True) >> step
    async with FileCheckpointBackend(directory=sys.argv[2], codec="aes-gcm") as backend:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
        graph = Graph(start=step, id="g", checkpoint_config=config)
        await graph.run(resume=True)
        print(await graph.get_state("count"), len(await graph.get_state("large")))

asyncio.run(main())
"""


def test_an_encrypted_run_is_killed_and_resumed(tmp_path: Path) -> None:
    environment = os.environ | {KEY_VARIABLE: KEY, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    killed, resumed = (
        subprocess.run(
            [sys.executable, "-c", PROGRAM, how, str(tmp_path)], env=environment, capture_output=True, text=True
        )
        for how in ("killed", "resumed")
    )

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert resumed.stdout.split() == ["6", str(len(SECRET) * 1000 + 1)], resumed.stderr
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def encoded(codec: RecordCodec, state: dict[str, Any]) -> Record:
    checkpoint = GraphCheckpoint("c", "g", datetime(2024, 5, 1, tzinfo=UTC), state, {}, {})
    return codec.encode(checkpoint, sequence=1, manual=True, nonce="n")


def test_the_checksum_covers_what_is_stored_and_the_names_of_the_codecs() -> None:
    codec = RecordCodec(codec="reverse")
    record = encoded(codec, {"a": 1})
    assert record.is_intact()

    with pytest.raises(CheckpointDamagedError, match="checksum"):
        codec.decode(Record(replace(record.header, codecs=()), record.payload))
    with pytest.raises(CheckpointDamagedError, match="checksum"):
        codec.decode(Record(record.header, record.payload[:-1] + b"x"))


def test_headers_without_codecs_and_serializer_are_what_they_were() -> None:
    header = encoded(RecordCodec(), {}).header

    assert b"codecs" not in header.to_json() + header.canonical()
    assert b"serializer" not in header.to_json() + header.canonical()


@pytest.mark.parametrize("codecs", [("reverse",), ("a", "b")])
def test_a_header_with_codecs_comes_back_from_its_json(codecs: tuple[str, ...]) -> None:
    header = replace(encoded(RecordCodec(), {}).header, codecs=codecs, serializer="upper")

    assert RecordHeader.from_json(header.to_json()) == header
    assert header.canonical() != replace(header, codecs=("a,b",)).canonical() != replace(header, codecs=()).canonical()


@pytest.mark.parametrize("bad", ['"reverse"', "[1]", "null", "{}", "[[]]"])
def test_codecs_that_are_no_names_are_damage(bad: str) -> None:
    header = encoded(RecordCodec(codec="reverse"), {}).header.to_json()

    with pytest.raises(CheckpointDamagedError):
        RecordHeader.from_json(header.replace(b'["reverse"]', bad.encode()))


def test_a_codec_that_is_not_installed_is_named_with_what_to_do() -> None:
    record = encoded(RecordCodec(codec="reverse"), {})
    theirs = _sealed(replace(record.header, codecs=("their-own",)), record.payload)

    with pytest.raises(PluginNotFoundError, match="their-own"):
        RecordCodec().references(theirs)


def _sealed(header: RecordHeader, payload: bytes) -> Record:
    sealed = replace(header, size=len(payload))
    sealed.checksum = checksum("sha256", sealed.canonical(), payload)
    return Record(sealed, payload)


def test_a_bomb_behind_a_codec_is_refused_before_it_is_unpacked() -> None:
    record = encoded(RecordCodec(codec="reverse"), {})
    bomb = zlib.compress(b" " * 40_000_000)
    header = replace(record.header, codecs=("squeeze",))

    with pytest.raises(CheckpointDamagedError, match="unpack to"):
        RecordCodec().decode(_sealed(replace(header, raw_size=40_000_000), bomb))
    with pytest.raises(DeserializationError, match="made more than 1,000 bytes"):
        RecordCodec().decode(_sealed(replace(header, raw_size=1000), bomb))


def test_what_a_codec_makes_too_small_to_be_believed_is_not_written() -> None:
    with pytest.raises(SerializationError, match="compression="):
        encoded(RecordCodec(codec="squeeze"), {"a": "x" * 40_000_000})


def test_a_codec_that_fails_is_named_and_nothing_is_written() -> None:
    class Failing(Shift):
        name = "failing"

        def encode(self, data: bytes) -> bytes:
            raise RuntimeError("no more nonces")

    with pytest.raises(SerializationError, match=r"codec 'failing' failed: RuntimeError: no more nonces\. Nothing was"):
        encoded(RecordCodec(codec=Failing(1)), {})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("revers", "reverse"),
        ({"shift": {}}, "needs by"),
        ({"shift": {"bye": 1}}, "Did you mean 'by'"),
        ([Shift(1), Shift(2)], "two codecs have one name"),
        (Shift, r"add \(\)"),
        (7, "give a Codec"),
    ],
)
def test_a_wrong_choice_says_what_is_right(given: Any, said: str) -> None:
    with pytest.raises((GraphDefinitionError, PluginNotFoundError), match=said):
        InMemoryCheckpointBackend(codec=given)


async def test_a_serializer_is_recorded_by_name_and_found_again() -> None:
    written = PlainMemory(serializer="upper")
    await make_graph(written).run()
    record = await written.get_latest("g")
    assert record is not None
    assert record.header.serializer == "upper"
    assert SECRET.swapcase().encode() in record.payload

    for reader in (RecordCodec(), RecordCodec(serializer="upper"), RecordCodec(serializer=Upper())):
        assert reader.decode(record).graph_state["text"] == SECRET * 4
    plain = encoded(RecordCodec(), {"a": 1})
    assert plain.header.serializer == ""


def test_a_serializer_that_may_run_code_is_only_used_where_it_is_named() -> None:
    record = encoded(RecordCodec(serializer="unsafe"), {"a": "b"})

    with pytest.raises(DeserializationError, match="open it with serializer='unsafe'"):
        RecordCodec().decode(record)
    assert RecordCodec(serializer=Unsafe()).decode(record).graph_state == {"a": "b"}
