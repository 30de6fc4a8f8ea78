"""Of many small values only those near a change are written again, and all come back in their order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spark.errors import CheckpointDamagedError
from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.records.blobs import NewBlobs, birth
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.storage import Record, RecordCodec
from spark.graphs.state.transactions import StateStore
from spark.graphs.state.updates import DELETED

MUCH: Final = 128 * 1024
"""From so many bytes on small values are kept in chunks here, whatever the store."""
KEYS: Final = 3_000
"""Small values of about 100 bytes: together they are some chunks."""


def small_values(keys: int = KEYS) -> dict[str, Any]:
    return {f"key {number}": f"value {number} ".ljust(100, ".") for number in range(keys)}


class Change(Node):
    """Sets one value at each step, another one at another step, until there are so many."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    async def process(self, context: NodeContext) -> dict[str, Any]:
        step = await context.graph_state.get("key 7", 0)
        step = step + 1 if isinstance(step, int) else 1
        await context.graph_state.set("key 7", step)
        await context.graph_state.set(f"key {step * 100}", step)
        return {"more": step % self.steps != 0}


def graph_of(backend: CheckpointBackend, steps: int, **settings: Any) -> Graph:
    change = Change(steps)
    change.on(more=True) >> change
    change.on(more=False) >> ExitNode()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, **settings)
    backend.blob_cost = MUCH
    return Graph(start=change, id="g", state=small_values(), checkpoint_config=config)


def expected_after(step: int) -> dict[str, Any]:
    return small_values() | {f"key {number * 100}": number for number in range(1, step + 1)} | {"key 7": step}


# in every store


async def test_a_step_writes_the_chunks_that_changed(backend: CheckpointBackend) -> None:
    await graph_of(backend, 6, auto_cleanup=False).run()

    records = [info.size for info in (await backend.list("g")).infos]
    assert records[0] > MUCH, "the first holds everything"
    assert max(records[1:]) < 10_000
    blobs = await backend.get_blobs("g", await backend.blob_names("g"))
    by_step = {step: sum(len(blobs[name]) for name in blobs if birth(name) == step) for step in range(1, 7)}
    assert (by_step[1], by_step[2] > MUCH) == (0, True), "the second divides it"
    assert max(by_step[step] for step in (3, 4, 5, 6)) < 2 * 20_000


async def test_every_checkpoint_loads_with_its_values_in_order(backend: CheckpointBackend) -> None:
    await graph_of(backend, 4, auto_cleanup=False).run()

    manager = CheckpointManager(backend)
    for step in (1, 2, 3, 4):
        loaded = (await manager.load_checkpoint(f"ckpt_g_{step:06d}")).graph_state
        assert list(loaded.items()) == list(expected_after(step).items())


async def test_chunks_go_with_the_last_checkpoint_that_needs_them(backend: CheckpointBackend) -> None:
    await graph_of(backend, 9, max_checkpoints=2).run()

    needed: set[str] = set()
    for info in (await backend.list("g")).infos:
        record = await backend.get("g", info.sequence)
        assert record is not None
        needed |= {ref.name for ref in backend.record_codec.references(record)}
    assert set(await backend.blob_names("g")) == needed
    found = await CheckpointManager(backend).verify()
    assert (found.intact, found.is_fine, found.orphans) == (2, True, [])


async def test_a_chunk_that_is_missing_is_named(backend: CheckpointBackend) -> None:
    await graph_of(backend, 2).run()
    name = (await backend.blob_names("g"))[0]
    await backend.delete_blobs("g", [name])

    with pytest.raises(CheckpointDamagedError, match=f"its large value '{name}' is missing"):
        await CheckpointManager(backend).load_latest("g")


async def test_a_store_without_large_values_gets_them_all(backend: CheckpointBackend, tmp_path: Path) -> None:
    await graph_of(backend, 2).run()
    latest = await CheckpointManager(backend).load_latest("g")
    assert latest is not None

    async with InMemoryCheckpointBackend() as other:
        await latest.save(other)
        copied = await CheckpointManager(other).load_checkpoint(latest.checkpoint_id)

    assert list(copied.graph_state.items()) == list(expected_after(2).items())


async def test_a_chunk_is_readable(tmp_path: Path) -> None:
    async with FileCheckpointBackend(tmp_path) as store:
        await graph_of(store, 2).run()

    content = (tmp_path / "g" / "000000000002.ckpt").read_bytes()
    tree, _ = json.JSONDecoder().raw_decode(content[content.index(b'{"graph_state"') :].decode())
    chunks = tree["graph_state"]["$parts"]
    assert list(chunks) == [str(number) for number in range(len(chunks))]
    name = chunks["0"]["$blob"][0]
    values = json.loads((tmp_path / "g" / "blobs" / f"{name}.blob").read_text())["values"]
    assert values["key 7"] == 2
    assert values["key 8"] == small_values()["key 8"]


# whatever happens to the keys


class Store:
    """A place for records and what they refer to, which keeps account of what nobody needs, as a run does."""

    def __init__(self, *, blob_cost: int = MUCH, **thresholds: int) -> None:
        self.record_codec = RecordCodec()
        self.cache = EncodingCache(blob_cost=blob_cost, **thresholds)
        self.new = NewBlobs("w")
        self.blobs: dict[str, bytes] = {}
        self.count = 0
        self.count_of_blobs = 0

    def save(self, values: dict[str, Any], *, is_stored: bool) -> Record:
        self.count += 1
        checkpoint = GraphCheckpoint("ckpt_g_000001", "g", datetime(2024, 5, 1, tzinfo=UTC), graph_state=values)
        record = self.record_codec.encode(
            checkpoint, sequence=self.count, manual=False, nonce="n", cache=self.cache, blobs=self.new
        )
        if is_stored:
            self.blobs |= record.blobs
            self.count_of_blobs += len(record.blobs)
            for name in self.cache.retired:
                self.blobs.pop(name, None)
            self.cache.retired.clear()
            self.new.unstored.clear()
        return record

    def load(self, record: Record) -> dict[str, Any]:
        return self.record_codec.read(self.record_codec.open(record), self.blobs).graph_state


keys = st.integers(0, 60).map(lambda number: f"k{number}")
values = st.one_of(
    st.integers(0, 9),
    st.text("ab", max_size=40),
    st.sampled_from(["x" * 90, "x" * 199, {"$blob": [1]}, {"values": {"a": 1}}]),
    st.sampled_from(["large " * 50, ["large"] * 60]),
    st.just(DELETED),
    st.just(DELETED),
)
changes = st.dictionaries(keys, values, max_size=12)
everything_goes = {f"k{number}": DELETED for number in range(61)}
much = {f"k{number}": "y" * 90 for number in range(0, 61, 2)}
acts = st.sampled_from(["save", "save", "save", "lose", "go on"])


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.one_of(changes, st.just(much), st.just(everything_goes)), acts), max_size=12))
@example([(much, "save"), ({"k1": "y" * 90}, "save"), ({"k0": DELETED, "k60": 1}, "save"), (everything_goes, "save")])
@example(
    [
        (much, "save"),
        ({"k0": 1}, "save"),
        ({"k4": "large " * 50}, "lose"),
        ({"k4": 1}, "save"),
        ({"k4": "large " * 50}, "save"),
    ]
)
@example(
    [
        (much, "save"),
        ({"k6": 1}, "save"),
        ({"k0": DELETED}, "lose"),
        ({"k0": 5}, "save"),
        ({"k2": {"$blob": [1]}}, "save"),
    ]
)
@example([(much, "save"), ({"k0": 1}, "save"), (everything_goes | {"$x": 1}, "save")])
def test_what_is_loaded_is_what_was_saved_and_nothing_else_is_kept(history: list[tuple[dict[str, Any], str]]) -> None:
    """Were this wrong, a checkpoint would lack a value, or a store would grow for ever."""
    state, store = StateStore("graph_state"), Store(large_from=200, blob_cost=1_000, chunk_size=300)
    for changed, act in history:
        state.apply(changed, writer="n")
        if act == "go on":
            continue
        record = store.save(state.capture(), is_stored=act == "save")
        if act == "lose":
            continue

        assert list(store.load(record).items()) == list(state.values.items())
        assert store.blobs.keys() == {ref.name for ref in store.record_codec.references(record)}
        whole = store.record_codec.inline_blobs(record, store.blobs)
        assert list(store.record_codec.decode(whole).graph_state.items()) == list(state.values.items())


def test_a_change_leaves_the_other_chunks_as_they_are() -> None:
    state, store = divided_state(small_values())
    first = set(store.blobs)

    for changed, most in (
        ({"key 5": 1}, 1),
        ({"key 5": DELETED}, 1),
        ({"another": 1}, 1),
        ({"key 1500": "large " * 2_000}, 4),
    ):
        state.apply(changed, writer="n")
        names = {ref.name for ref in store.record_codec.references(store.save(state.capture(), is_stored=True))}
        assert 0 < len(names - first) <= most, changed
        first = names


def test_keys_that_are_deleted_one_checkpoint_at_a_time_leave_no_crumbs() -> None:
    """A queue loses its first key at each step."""
    state, store = StateStore("graph_state"), Store(large_from=10_000, blob_cost=2_000, chunk_size=1_000)
    state.apply({f"k{number}": "y" * 90 for number in range(200)}, writer="n")
    store.save(state.capture(), is_stored=True)
    for number in range(60):
        state.apply({f"k{number}": DELETED, f"k{200 + number}": "y" * 90}, writer="n")
        record = store.save(state.capture(), is_stored=True)
        sizes = [ref.raw_size for ref in store.record_codec.references(record)]

        assert len(sizes) > 10
        assert min(sizes[:-1]) > 200, "each is merged before it is a quarter of a chunk"
        assert [*store.load(record)] == [*state.values]


def test_keys_that_go_leave_no_crumbs() -> None:
    """Many keys that go, one after the other, would otherwise leave as many chunks of a few bytes each."""
    state, store = divided_state(small_values(20_000))
    for number in range(20_000):
        if number % 10:
            state.apply({f"key {number}": DELETED}, writer="n")
        if number % 1_000 == 999:
            record = store.save(state.capture(), is_stored=True)

    small = [ref for ref in store.record_codec.references(record) if ref.size < 4_000]
    assert len(small) <= 1, "the last one may be"
    assert store.load(record) == state.values


@pytest.mark.parametrize(
    "section",
    [
        {"$parts": []},
        {"$parts": {"0": []}},
        {"$parts": {"0": {"values": []}}},
        {"$parts": {"0": {"values": {}, "more": 1}}},
        {"$parts": {"0": {"$blob": ["../x", 1, 1, "", ""]}}},
        {"$parts": {"0": {"$parts": {}}}},
    ],
    ids=repr,
)
def test_chunks_that_are_not_valid_are_damage(section: Any) -> None:
    tree = {name: {} for name in ("node_states", "execution_metadata", "config", "topology", "frontier")}
    content = json.dumps({"graph_state": section} | tree).encode()
    record = Store().save({}, is_stored=True)
    header = record.header
    header.size = header.raw_size = len(content)
    header.checksum = checksum("sha256", header.canonical(), content)

    with pytest.raises(CheckpointDamagedError):
        RecordCodec().decode(Record(header, content))


@pytest.mark.parametrize("key", ["$parts", "$blob", "values", "$dict", ""])
@pytest.mark.parametrize("alone", [True, False])
def test_names_that_look_like_ours_are_names(key: str, alone: bool) -> None:
    value = {"0": {"values": {"a": 1}}}
    given_values = {key: value} | ({} if alone else small_values())
    state, store = divided_state(given_values)

    record = store.save(state.capture(), is_stored=True)

    assert bool(store.blobs) is not alone
    assert store.load(record) == given_values


# whether it is worth it


def test_a_state_that_changes_everywhere_is_written_at_once() -> None:
    """A chunk is a request or a file of its own: a hundred of them would take longer than one long record."""
    state, store = StateStore("graph_state", small_values()), Store()
    for step in range(5):
        state.apply({f"key {number}": step for number in range(0, KEYS, 10)}, writer="n")
        store.save(state.capture(), is_stored=True)

        assert not store.blobs


def test_a_state_that_changes_everywhere_now_and_then_is_divided_less_and_less_often() -> None:
    """To divide it takes as many blobs as it has chunks."""
    state, store = divided_state(small_values())
    written = store.count_of_blobs
    for step in range(200):
        many = step % 5 == 0
        state.apply({f"key {number}": step for number in range(0, KEYS if many else 1, 10)}, writer="n")
        record = store.save(state.capture(), is_stored=True)
        assert list(store.load(record).items()) == list(state.values.items())

    assert store.count_of_blobs - written < 20 * 4


def divided_state(values: dict[str, Any]) -> tuple[StateStore, Store]:
    """A state that is divided, where it is large enough."""
    state, store = StateStore("graph_state", values), Store()
    for number in range(2):
        store.save(state.capture(), is_stored=True)
        state.apply({"tick": number}, writer="n")
    state.apply({"tick": DELETED}, writer="n")
    store.save(state.capture(), is_stored=True)
    return state, store
