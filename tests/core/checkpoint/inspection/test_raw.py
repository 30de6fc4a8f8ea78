"""Checkpoints are looked at without the classes that they are made of, in spite of damage, and no run begins with that."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import numpy as np
import pytest
from dateutil import tz
from pydantic import BaseModel, PrivateAttr

from spark.errors import (
    CheckpointDamagedError,
    CheckpointNotFoundError,
    DeserializationError,
    GraphRestoreError,
    PluginNotFoundError,
    SerializationError,
)
from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    CheckpointSerializer,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    RawObject,
    register_type,
)
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.serialization import reader
from spark.graphs.checkpoint.serialization.classes.type_names import TypeNames
from spark.graphs.checkpoint.storage import Record, derived_id
from tests.core.checkpoint.records.test_chunks_golden import CHUNKS
from tests.plugins.support.kinds import SELDOM_S3, store_of
from tests.support.aes_gcm import AesGcm
from tests.support.running import Does
from tests.support.variants import first_of

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
GOLDEN = sorted(CHUNKS.parent.glob("*.txt"))
HERE = __name__
T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    number: int
    lines: tuple[Any, ...] = ()


class Color(Enum):
    RED = "r"


class Right(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int


class Customer(BaseModel, extra="allow"):
    name: str
    color: Color = Color.RED
    _seen: int = PrivateAttr(default=0)


class Page(BaseModel, Generic[T]):
    items: list[T] = []


@register_type(name="euro", to_data=lambda amount: {"cents": amount.cents}, from_data=lambda data: Euro(data["cents"]))
class Euro:
    def __init__(self, cents: int) -> None:
        self.cents = cents


@pytest.fixture(params=[*first_of(["memory", "file", "sqlite"], always=2), SELDOM_S3])
async def manager(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointManager]:
    made = Chunked() if request.param == "memory" else store_of(request.param, request, tmp_path)
    async with made:
        yield CheckpointManager(made)


async def shown(value: Any, *, store: CheckpointBackend | None = None) -> Any:
    """What is shown of a value in the state; it is not made, whatever the program knows."""
    store = store or InMemoryCheckpointBackend()
    await GraphCheckpoint("c", "g", NOON, graph_state={"value": value}).save(store)
    with nothing_is_looked_up():
        return (await CheckpointManager(store).load_checkpoint("c", raw=True)).graph_state["value"]


@contextmanager
def nothing_is_looked_up() -> Iterator[None]:
    def refuse(*arguments: Any) -> Any:
        raise AssertionError(f"{arguments[-1]!r} was looked up")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "registered_name", refuse)
        patch.setattr(TypeNames, "find", refuse)
        yield


customer = Customer(name="Ada", nick="A")  # type: ignore[call-arg]  # which is allowed
customer._seen = 2
VALUES: dict[str, tuple[Any, Any]] = {
    "dataclass": (Order(1, (Decimal("1.10"),)), RawObject(f"{HERE}:Order", {"number": 1, "lines": (Decimal("1.10"),)})),
    "enum": (Color.RED, RawObject(f"{HERE}:Color", "RED")),
    "flag": (Right.READ | Right.WRITE, RawObject(f"{HERE}:Right", 3)),
    "named tuple": (Point(1, 2), RawObject(f"{HERE}:Point", {"x": 1, "y": 2})),
    "model": (
        customer,
        RawObject(
            f"{HERE}:Customer", {"name": "Ada", "color": RawObject(f"{HERE}:Color", "RED"), "nick": "A", "_seen": 2}
        ),
    ),
    "generic model": (
        lambda: Page[Order](
            items=[Order(1)]
        ),  # the oldest pydantic knows such a class only in the context that made it
        RawObject(f"{HERE}:Page[{HERE}:Order]", {"items": [RawObject(f"{HERE}:Order", {"number": 1, "lines": ()})]}),
    ),
    "registered": (Euro(150), RawObject("euro", {"cents": 150})),
    "in keys and sets": (
        {Color.RED: {Order(1)}},
        {RawObject(f"{HERE}:Color", "RED"): {RawObject(f"{HERE}:Order", {"number": 1, "lines": ()})}},
    ),
    "factory of the program": (
        defaultdict(Order, a=1),
        RawObject(f"collections:defaultdict[{HERE}:Order]", {"a": 1}),
    ),
    "zone of a library": (
        datetime(2024, 1, 1, tzinfo=tz.gettz("Europe/Berlin")),
        RawObject(
            "datetime:datetime",
            {"text": "2024-01-01T00:00:00", "fold": 0, "zone": RawObject("dateutil:tzinfo", ["Europe/Berlin"])},
        ),
    ),
    "NumPy number": (np.float32(1.5), RawObject("numpy:float32", 1.5)),
}


@pytest.mark.parametrize("name", VALUES)
async def test_an_object_is_shown_by_its_type_and_its_data(name: str) -> None:
    value, expected = VALUES[name]

    assert await shown(value() if callable(value) else value) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"a": [None, True, 1, 2.5, "é", float("inf"), 2**70]},
        {1: (1, {2}, frozenset({3})), None: b"bytes"},
        [Decimal("1.10"), UUID(int=1), Path("a/b"), timedelta(1), NOON, NOON.date(), NOON.timetz(), 1j],
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2), "x")),
        [deque([1], 3), defaultdict(list, a=[1]), OrderedDict(b=1, a=2), bytearray(b"x")],
        {"$tuple": [1]},
    ],
)
async def test_what_python_itself_has_is_made(value: Any) -> None:
    found = await shown(value)

    assert found == value
    assert repr(found) == repr(value)


class Tagging(CheckpointSerializer):
    """Writes everything in its own way."""

    name = "tagging"

    def serialize(self, value: Any) -> Any:
        return {"__mine__": value.number} if isinstance(value, Order) else value

    def deserialize(self, value: Any) -> Any:
        return Order(value["__mine__"]) if isinstance(value, dict) and "__mine__" in value else value


async def test_what_a_serializer_changed_stays_as_it_wrote_it() -> None:
    store = InMemoryCheckpointBackend(serializer=Tagging())

    assert await shown([Order(1)], store=store) == [{"__mine__": 1}]


def test_a_raw_object_says_what_it_is() -> None:
    order = RawObject("my_app:Order", {"number": 1, "at": NOON, "by": RawObject("my_app:Color", "RED")})

    assert repr(order) == f"<Order number=1, at={NOON!r}, by=<Color 'RED'>>"
    data = {"number": 1, "at": "2026-11-29T12:00:00+00:00", "by": {"type": "my_app:Color", "value": "RED"}}
    assert json.loads(json.dumps(order.to_data())) == {"type": "my_app:Order", "value": data}
    odd = RawObject("x", {1: {2}, (1, 2): b"ab", "f": float("nan"), "d": Decimal("1.10")})
    assert odd.to_data()["value"] == {"1": [2], "[1, 2]": "YWI=", "f": "nan", "d": "1.10"}
    assert {order: 1}[RawObject("my_app:Order", dict(order.value))] == 1
    assert order != RawObject("my_app:Order", {})
    assert order != RawObject("other:Order", order.value)


# arrays and buffers


async def test_an_array_is_shown_by_its_dtype_and_shape(manager: CheckpointManager) -> None:
    array = await shown(np.zeros((100, 200)), store=manager.backend)

    assert array.type == "numpy:ndarray"
    assert (array.value["dtype"], array.value["shape"]) == ("<f8", [100, 200])
    assert array.value["bytes"].value["bytes"] == 160_000
    small = await shown(np.zeros(3))
    assert small.value["bytes"].value["bytes"] == 24


class Watched(FileCheckpointBackend):
    """Counts the bytes of large values that are read."""

    bytes_read = 0

    async def get_blobs(self, graph_id: str, names: Any) -> dict[str, bytes]:
        found = await super().get_blobs(graph_id, names)
        self.bytes_read += sum(map(len, found.values()))
        return found


async def test_large_buffers_are_not_read(tmp_path: Path) -> None:
    """A state of many gigabytes can be looked at."""
    store = Watched(tmp_path)

    async def work(context: NodeContext) -> None:
        await context.graph_state.set("array", np.ones(1_000_000))
        await context.graph_state.set("large", b"x" * 9_000_000)
        await context.graph_state.set("small", b"y" * 20_000)

    await Graph(Does(work, name="work"), id="g", checkpoint_config=CheckpointConfig(backend=store)).run()

    state = (await CheckpointManager(store).load_checkpoint_at("g", 1, raw=True)).graph_state

    assert state["array"].value["bytes"].value["bytes"] == 8_000_000
    assert state["large"].type == "builtins:bytes"
    assert state["large"].value["bytes"] == 9_000_000
    assert state["small"] == b"y" * 20_000
    assert store.bytes_read < 100_000


async def test_other_bytes_have_another_checksum() -> None:
    first, same, other = [await shown(memoryview(each)) for each in (b"a" * 10, b"a" * 10, b"b" * 10)]

    assert first == same
    assert first != other


# what older releases wrote, and what can't be read


def test_what_older_releases_wrote_is_shown() -> None:
    """In a process that has loaded none of the classes, nor pydantic or NumPy."""
    files = [str(file) for file in GOLDEN if "codecs" not in file.stem]  # those are encrypted
    done = subprocess.run([sys.executable, "-c", SHOW, *files], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [*shown] == files
    for file, found in shown.items():
        assert found["damaged"] == {}, file
        assert found["loaded"] == [], file
        assert found["state"], file


SHOW = """
import asyncio, json, sys
from spark.graphs.checkpoint import CheckpointManager, InMemoryCheckpointBackend, RawObject
from spark.graphs.checkpoint.storage import Record, RecordHeader

async def show(file):
    header, payload, *lines = open(file, "rb").read().splitlines()
    blobs = {name.decode(): bytes.fromhex(content.decode()) for name, content in (line.split() for line in lines)}
    store = InMemoryCheckpointBackend()
    record = Record(RecordHeader.from_json(header), payload)
    await store.put(record.with_blobs(blobs))
    loaded = await CheckpointManager(store).load_checkpoint_at(record.graph_id, record.sequence, raw=True)
    state = RawObject("state", [loaded.graph_state, loaded.frontier]).to_data()["value"]
    return {
        "damaged": loaded.damaged,
        "state": state,
        "loaded": [name for name in ("pydantic.main", "numpy", "tests", "dateutil") if name in sys.modules],
    }

async def main():
    json.dump({file: await show(file) for file in sys.argv[1:]}, sys.stdout)

asyncio.run(main())
"""


class Chunked(InMemoryCheckpointBackend):
    """Has the chunks of a store that keeps bytes."""

    keeps_records = False


async def large(store: CheckpointBackend) -> CheckpointManager:
    """A checkpoint with a large text and an array, which are stored by themselves, and a small value."""
    store.blob_cost = 8192

    async def work(context: NodeContext) -> None:
        await context.graph_state.set("text", "t" * 50_000)
        await context.graph_state.set("small", Order(1))
        await context.graph_state.set("bytes", [b"b" * 20_000])

    graph = Graph(Does(work, name="work"), id="g", checkpoint_config=CheckpointConfig(backend=store))
    await graph.run()
    return CheckpointManager(store)


@pytest.mark.parametrize(("size", "damaged"), [(50_000, "graph_state"), (20_000, "graph_state['bytes']")])
async def test_what_is_missing_is_named_and_the_rest_is_shown(
    manager: CheckpointManager, size: int, damaged: str
) -> None:
    """A chunk with several keys, or what only one of them needs."""
    manager = await large(manager.backend)
    blobs = await manager.backend.get_blobs("g", await manager.backend.blob_names("g"))
    (name,) = [name for name, content in blobs.items() if size <= len(content) < 1.2 * size]
    await manager.backend.delete_blobs("g", [name])

    loaded = await manager.load_checkpoint_at("g", 1, raw=True)

    assert [*loaded.damaged] == [damaged], loaded.damaged
    assert name in loaded.damaged[damaged]
    state = loaded.graph_state
    assert state["small"] == RawObject(f"{HERE}:Order", {"number": 1, "lines": ()})
    assert loaded.frontier is not None
    if damaged == "graph_state":
        assert "text" not in state
        assert state["bytes"] == [b"b" * 20_000]
    else:
        assert state["bytes"].type == "damaged"
        assert state["text"] == "t" * 50_000
    with pytest.raises(CheckpointDamagedError, match=name):
        await manager.load_checkpoint_at("g", 1)


@pytest.mark.parametrize(
    ("edit", "damaged"),
    [
        (lambda tree: tree["graph_state"].update(order={"$decimal": {}}), "graph_state['order']"),
        (lambda tree: tree["graph_state"].update(order={"$dataclass": 1}), "graph_state['order']"),
        (lambda tree: tree.update(node_states=[1]), "node_states"),
        (lambda tree: tree.update(graph_state={"$chunks": {"kind": "mapping", "refs": [1]}}), "open"),
        (lambda tree: tree.update(frontier={"tokens": {"$chunks": {"kind": "list", "tail": 1}}}), "frontier['tokens']"),
    ],
)
async def test_a_part_that_is_wrong_is_named(edit: Callable[[Any], None], damaged: str) -> None:
    store = InMemoryCheckpointBackend()
    record = store.record_codec.encode(
        GraphCheckpoint("c", "g", NOON, graph_state={"a": 1, "t": (1,)}, frontier={"tokens": {}}),
        sequence=1,
        manual=True,
        nonce="n",
    )
    tree = json.loads(record.payload)
    edit(tree)
    await store.put(resealed(record, json.dumps(tree).encode()))
    manager = CheckpointManager(store)

    if damaged == "open":
        with pytest.raises(CheckpointDamagedError):
            await manager.load_checkpoint("c", raw=True)
        return
    loaded = await manager.load_checkpoint("c", raw=True)
    assert [*loaded.damaged] == [damaged], loaded.damaged
    if damaged != "graph_state":
        assert loaded.graph_state["t"] == (1,)


def resealed(record: Record, payload: bytes) -> Record:
    header = replace(record.header, size=len(payload), raw_size=len(payload))
    header.checksum = checksum("crc32", header.canonical(), payload)
    return Record(header, payload)


async def test_a_record_that_was_changed_is_not_shown() -> None:
    store = InMemoryCheckpointBackend()
    await shown(1, store=store)
    record = await store.get("g", 1)
    assert record is not None
    store._graphs["g"][1] = Record(record.header, record.payload.replace(b"1", b"2"))

    with pytest.raises(CheckpointDamagedError, match="'c'"):
        await CheckpointManager(store).load_checkpoint("c", raw=True)


async def test_pickles_are_never_loaded_to_be_looked_at() -> None:
    store = InMemoryCheckpointBackend(format={"pickle": {"signing_key": "k" * 32}})

    with pytest.raises(DeserializationError, match=r"format 'pickle'.*can run code.*without raw=True"):
        await shown(1, store=store)


async def test_what_is_encrypted_says_what_to_give(tmp_path: Path) -> None:
    await shown(Order(1), store=FileCheckpointBackend(tmp_path, codec=AesGcm("ab" * 32)))

    with pytest.raises((DeserializationError, PluginNotFoundError), match="codec"):
        await CheckpointManager(FileCheckpointBackend(tmp_path)).load_checkpoint("c", raw=True)


async def test_where_nothing_is_stored_is_said(manager: CheckpointManager) -> None:
    await manager.send("g", "signal", 1)

    for graph_id, sequence in (("g", 7), (derived_id("inbox", "g"), 1)):
        with pytest.raises(CheckpointNotFoundError, match=f"{sequence:06}"):
            await manager.load_checkpoint_at(graph_id, sequence, raw=True)


async def test_objects_are_shown_wherever_they_stand(manager: CheckpointManager) -> None:
    """In questions, results of durable calls, inputs, states of nodes, and in lists and mappings that grow."""
    manager.backend.blob_cost = 8192

    async def work(context: NodeContext) -> Any:
        context.state["mine"] = Color.RED
        for number in range(100):
            await context.graph_state.append("orders", Order(number, ("x" * 200,)))
            await context.graph_state.set_item("by number", str(number), Order(number))
        await context.commit()
        await context.run("charge", lambda: Euro(5))
        return await context.interrupt(Order(7))

    config = CheckpointConfig(backend=manager.backend, trigger_on_iteration=1, auto_cleanup=False)
    await Graph(Does(work, name="work"), id="g", checkpoint_config=config).run({"by": Customer(name="Ada")})
    (last,) = await manager.history("g", limit=1, newest_first=True)

    with nothing_is_looked_up():
        loaded = await manager.load_checkpoint_at("g", last.sequence, raw=True)

    def order(number: int, *lines: str) -> RawObject:
        return RawObject(f"{HERE}:Order", {"number": number, "lines": lines})

    assert loaded.damaged == {}
    assert loaded.graph_state["orders"] == [order(number, "x" * 200) for number in range(100)]
    assert loaded.graph_state["by number"]["99"] == order(99)
    assert loaded.node_states["work"]["mine"] == RawObject(f"{HERE}:Color", "RED")
    assert loaded.frontier is not None
    assert loaded.frontier["journal"]["1/call:charge"]["value"] == RawObject("euro", {"cents": 5})
    (question,) = loaded.interrupts()
    assert question.payload == order(7)
    (inputs,) = loaded.frontier["contents"].values()
    assert inputs["by"].value["name"] == "Ada"


# it is there to be looked at


async def test_no_run_begins_with_it_and_nobody_saves_it() -> None:
    manager = await large(InMemoryCheckpointBackend())
    loaded = await manager.load_checkpoint_at("g", 1, raw=True)
    graph = Graph(
        Does(lambda context: None, name="work"), id="g", checkpoint_config=CheckpointConfig(backend=manager.backend)
    )

    with pytest.raises(GraphRestoreError, match="without raw=True"):
        await graph.run(resume=loaded)
    with pytest.raises(SerializationError, match="without raw=True"):
        await loaded.save(manager.backend)
    with pytest.raises(SerializationError, match="without raw=True"):
        await loaded.fork("other").save(manager.backend)
    with pytest.raises(SerializationError, match="RawObject"):
        await GraphCheckpoint("d", "g", NOON, graph_state=loaded.graph_state).save(manager.backend)
    assert (await manager.load_checkpoint_at("g", 1)).graph_state["small"] == Order(1)
