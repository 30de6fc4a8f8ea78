"""What is in chunks is taken over by whoever loads it: a history may be interrupted anywhere, and goes on as if it had not."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from spark.graphs.checkpoint import GraphCheckpoint
from spark.graphs.checkpoint.encoding import adopting, cache, chunked
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.decoder import StoredLayout
from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.records import blobs, layout
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.storage import Record, RecordCodec
from spark.graphs.state.transactions import DELETED, StateStore
from spark.graphs.values.item_list import ItemList
from spark.graphs.values.item_mapping import ItemMapping
from tests.core.checkpoint.encoding.planted_chunk_bugs import Planted, edited
from tests.support.variants import first_of

THRESHOLDS: Final = Thresholds(1_500, worth=200, nested=600, compared=900, each=1, largest=20_000)


class History:
    """Checkpoints of a state, of which only the latest is kept, with everything that it refers to."""

    def __init__(self) -> None:
        self.codec = RecordCodec()
        self.state = StateStore("graph_state")
        self.model: dict[str, Any] = {}
        self.cache = EncodingCache(THRESHOLDS)
        self.new = NewBlobs("w0")
        self.blobs: dict[str, bytes] = {}
        self.record: Record | None = None
        self.sequence = 0
        self.runs = 0
        self.written = 0

    def set(self, key: str, value: Any) -> None:
        if value is DELETED:
            self.model.pop(key, None)
        else:
            self.model[key] = _plain(value)
        self.state.apply({key: value}, writer="n")

    def save(self) -> None:
        self.sequence += 1
        checkpoint = GraphCheckpoint("c", "g", datetime(2024, 5, 1, tzinfo=UTC))
        checkpoint.graph_state = self.state.capture()  # type: ignore[assignment]
        record = self.codec.encode(
            checkpoint, sequence=self.sequence, manual=False, nonce="n", cache=self.cache, blobs=self.new
        )
        self.written += len(record.payload) + sum(map(len, record.blobs.values()))
        self.blobs |= record.blobs
        for name in self.cache.retired:
            del self.blobs[name]
        self.cache.retired.clear()
        self.new.unstored.clear()
        self.record = record.with_blobs({})
        assert {ref.name for ref in self.codec.references(self.record)} == self.blobs.keys()
        assert list(self._load(None).items()) == list(self.model.items())

    def continue_elsewhere(self) -> None:
        """Another process loads what is stored."""
        assert self.record is not None
        stored = StoredLayout(self.record)
        self.state = StateStore("graph_state", self._load(stored))
        self._begin_run()
        self.cache = EncodingCache(THRESHOLDS)
        assert self.codec.adopt(stored, {"graph_state": self.state.capture()}, self.cache)
        assert {*self.cache.names} == self.blobs.keys()

    def continue_here(self) -> None:
        """The next run of this process."""
        self.cache.hand_over(self.new.writer)
        self._begin_run()

    def _begin_run(self) -> None:
        self.runs += 1
        self.new = NewBlobs(f"w{self.runs}")

    def _load(self, stored: StoredLayout | None) -> dict[str, Any]:
        assert self.record is not None
        return self.codec.read(self.codec.open(self.record), self.blobs, stored).graph_state


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, ItemList) else value.whole() if isinstance(value, ItemMapping) else value


def text(chance: random.Random) -> str:
    return chance.choice("abcdef") * chance.choice([5, 40, 200, 2_500])


def grow(history: History, chance: random.Random) -> None:
    value = history.state.values.get("list", [])
    kept = value if isinstance(value, ItemList) else ItemList([*value])
    history.set("list", kept.extended([text(chance) for _ in range(chance.randrange(1, 6))]))


def rewrite(history: History, chance: random.Random) -> None:
    items = [*history.state.values.get("list", [])]
    for _ in range(3):
        place = chance.randrange(len(items) + 1)
        items[place : place + chance.randrange(3)] = [text(chance) for _ in range(chance.randrange(3))]
    history.set("list", items)


def put_items(history: History, chance: random.Random) -> None:
    value = history.state.values.get("book", {})
    kept = value if isinstance(value, ItemMapping) else ItemMapping(dict(value))
    gone = [key for key in kept if chance.random() < 0.1]
    history.set("book", kept.changed({f"i{chance.randrange(40)}": text(chance) for _ in range(3)}, gone))


def set_whole(history: History, chance: random.Random) -> None:
    book = {key: f"{value}" for key, value in history.state.values.get("book", {}).items()}
    book.pop(chance.choice([*book, ""]), None)
    history.set("book", {f"first {chance.randrange(5)}": text(chance), **book})


def set_key(history: History, chance: random.Random) -> None:
    history.set(f"k{chance.randrange(40)}", text(chance))


def delete_key(history: History, chance: random.Random) -> None:
    key = chance.choice([*history.state.values, ""])
    if key in history.state.values:
        history.set(key, DELETED)


SEEDS: Final = 12

ACTS: Final[list[Callable[[History, random.Random], None]]] = [
    grow,
    grow,
    rewrite,
    put_items,
    put_items,
    set_whole,
    set_key,
    set_key,
    set_key,
    delete_key,
]


def run(seed: int, *, saves: int = 40) -> History:
    chance, history = random.Random(seed), History()
    for number in range(30):
        history.set(f"k{number}", text(chance))
    for _ in range(saves):
        for _ in range(chance.randrange(4)):
            chance.choice(ACTS)(history, chance)
        history.save()
        turn = chance.random()
        if turn < 0.3:
            history.continue_elsewhere()
        elif turn < 0.5:
            history.continue_here()
    return history


@pytest.mark.parametrize("seed", first_of(range(SEEDS), always=3))
def test_a_history_goes_on_wherever_it_is_interrupted(seed: int) -> None:
    run(seed)


def test_whoever_continues_writes_what_changed() -> None:
    history = History()
    history.set("list", ItemList([f"{number} ".ljust(100, ".") for number in range(1_000)]))
    history.set("book", ItemMapping({f"i{number}": f"{number} ".ljust(100, ".") for number in range(1_000)}))
    history.save()
    history.save()
    history.written = 0

    for number in range(40):
        history.continue_elsewhere()
        grow(history, random.Random(number))
        history.set("book", ItemMapping(dict(history.state.values["book"])).changed({"i7": f"{number}"}))
        history.save()

    assert history.written < 40 * 25_000


ADOPT: Final = adopting, None, "_take_over"
BUGS: Final[dict[str, Planted]] = {
    "chunks have the items of the next one": edited(
        layout,
        None,
        "layout_of",
        "list(zip(refs_of(refs), parts, strict=False))",
        "list(zip(refs_of(refs), parts[1:], strict=False))",
    ),
    "removed keys of chunks are not remembered": edited(*ADOPT, "removed=part.removed", "removed=[]"),
    "removed keys of the tail are not remembered": edited(*ADOPT, "removed=layout.tail.removed", "removed=[]"),
    "the tail is not encoded": edited(*ADOPT, "cache.incomplete.append(followed)", "pass"),
    "references name nobody": edited(*ADOPT, "of_writer(ref.compact(), writer_of(ref.name))", "ref.compact()"),
    "the newest chunk comes first": edited(
        *ADOPT, "for ref, part in layout.chunks:", "for ref, part in layout.chunks[::-1]:"
    ),
    "what is nested is not taken over": edited(*ADOPT, "in layout.nested.items():", "in ():"),
    "new items get places that others have": edited(
        chunked,
        chunked.ChunkedMapping,
        "adopt_tail",
        "if self._places:",
        "if False:",
    ),
    "older copies count as well": edited(chunked, chunked.ChunkedMapping, "adopt", "self._leave_chunks(key)", "pass"),
    "the next run claims the chunks": edited(
        cache, None, "_attribute", "chunk.ref = of_writer(chunk.ref, writer)", "pass"
    ),
    "only the outer mapping is handed over": edited(cache, None, "_attribute", "_attribute(each, writer)", "pass"),
    "all that is read names the reader": edited(
        blobs, blobs.BlobRef, "of_compact", "writer = tree[6] if len(tree) > 6 else writer", "pass"
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_mistakes_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, wrong = BUGS[name]
    monkeypatch.setattr(owner, attribute, wrong)

    assert not is_right()


def is_right() -> bool:
    try:
        for seed in range(SEEDS):
            run(seed)
        test_whoever_continues_writes_what_changed()
    except Exception:
        return False
    return True
