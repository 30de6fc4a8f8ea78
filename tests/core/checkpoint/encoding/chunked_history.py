"""A history that is stored by change: whatever happens to values, each checkpoint has to hold those of its moment."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from spark.errors import SerializationError
from spark.graphs.checkpoint import GraphCheckpoint
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.chunk import size_of_removed
from spark.graphs.checkpoint.encoding.followed import Followed
from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.model import SECTIONS
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.serialization.cost import CostBudget, CostExceededError
from spark.graphs.checkpoint.storage import Record, RecordCodec
from spark.graphs.state.transactions import DELETED, StateStore
from spark.graphs.values.item_list import ItemList
from spark.graphs.values.item_mapping import ItemMapping
from spark.graphs.values.tracked import TrackedMapping

SMALL: Final = Thresholds(150, worth=30, nested=120, compared=150, each=1, largest=400, ratio=3, held=300)
"""All sizes are small, so that a few values are enough for everything to happen."""
MOMENT: Final = datetime(2024, 5, 1, tzinfo=UTC)
UNSAVEABLE: Final = object()

Step = tuple[str, int, int]
"""What happens, and two numbers that say to what."""


def text(number: int) -> str:
    return f"{number} ".ljust(20 + number % 60, ".")


class History:
    """State, node states and a frontier that change, and the records that a run makes of them."""

    def __init__(self, thresholds: Thresholds = SMALL, *, stores_ahead: bool = False) -> None:
        self.stores_ahead = stores_ahead
        self.codec = RecordCodec()
        self.thresholds = thresholds
        self.state = StateStore("graph_state", {"log": [], "plain": [], "table": {}, "files": {}})
        self.nodes = TrackedMapping[StateStore](StateStore.capture)
        self.tokens, self.contents = TrackedMapping[Any](), TrackedMapping[Any]()
        self.sequence = 0
        self.blobs: dict[str, bytes] = {}
        self.bytes_in_records = self.bytes_in_blobs = self.times_ahead = 0
        self.begin("w0")

    def begin(self, writer: str) -> None:
        """Another run continues with nothing but the values."""
        self.cache, self.new = EncodingCache(self.thresholds), NewBlobs(writer)

    def step(self, step: Step) -> None:
        name, which, number = step
        acts: dict[str, Callable[[int, int], None]] = ACTS
        acts[name](self, which, number)  # type: ignore[call-arg, arg-type]

    # What happens to values.

    def put(self, key: str, value: Any) -> None:
        self.state.apply({key: value}, writer="n")

    def set_key(self, which: int, number: int) -> None:
        self.put(f"k{which % 25}", [text(number)])

    def set_text(self, which: int, number: int) -> None:
        """A small value of a plain type; now and then a text that is a chunk by itself."""
        self.put(f"s{which % 3}", text(number) * (1 + 4 * (number % 5 == 0)) if number % 3 else number)

    def delete_key(self, which: int, number: int) -> None:
        self.put(f"k{which % 25}", DELETED)

    def append(self, which: int, number: int) -> None:
        log = self.state.values["log"]
        log = log if isinstance(log, ItemList) else ItemList([*log] if isinstance(log, list) else [])
        self.put("log", log.extended([text(number + each) for each in range(1 + which % 3)]))

    def set_log(self, which: int, number: int) -> None:
        """The list was read, edited and set again."""
        self.put("log", edited(self.state.values["log"], which, number))

    def set_plain(self, which: int, number: int) -> None:
        self.put("plain", edited(self.state.values["plain"], which, number))

    def set_item(self, which: int, number: int) -> None:
        files = self.state.values["files"]
        files = files if isinstance(files, ItemMapping) else ItemMapping({**files})
        self.put("files", files.changed({f"f{which % 30}": {"is": text(number)}}))

    def delete_item(self, which: int, number: int) -> None:
        files = self.state.values["files"]
        name = f"f{which % 30}"
        if isinstance(files, ItemMapping) and name in files:
            self.put("files", files.changed({}, (name,)))

    def set_table(self, which: int, number: int) -> None:
        """A dict was read, edited and set again; now and then in another order."""
        before = self.state.values["table"]
        table = {key: [*value] for key, value in before.items()} if isinstance(before, dict) else {}
        if number % 7 == 0:
            table = {f"t{which % 20}": [0], **table}
        elif number % 11 == 0:
            table = dict(sorted(table.items()))
        elif number % 5 == 0:
            table.pop(f"t{which % 20}", None)
        else:
            table[f"t{which % 20}"] = [text(number)]
        self.put("table", table)

    def set_node(self, which: int, number: int) -> None:
        key = f"node{which % 3}"
        store = self.nodes.values.get(key) or StateStore(f"node_states['{key}']")
        store.apply({f"n{number % 20}": DELETED if number % 9 == 0 else text(number)}, writer=key)
        if number % 50 == 0 and key in self.nodes.values:
            self.nodes.remove(key)
        else:
            self.nodes.put(key, store)

    def add_token(self, which: int, number: int) -> None:
        for each in range(1 + which % 4):
            self.tokens.put(str(number * 10 + each), {"node": f"n{which}", "content": str(number)})
        self.contents.put(str(number), text(number))

    def remove_token(self, which: int, number: int) -> None:
        for mapping in (self.tokens, self.contents):
            if mapping.values:
                mapping.remove([*mapping.values][which % min(len(mapping.values), 3)])

    def put_again(self, which: int, number: int) -> None:
        """A key was removed and set again: it comes last."""
        self.delete_key(which, number)
        self.set_key(which, number)

    def become_something_else(self, which: int, number: int) -> None:
        self.put(("log", "plain", "table")[which % 3], [[], {}, [text(number)] * 20, text(number)][number % 4])

    def empty(self, which: int, number: int) -> None:
        self.state.apply({f"k{each}": DELETED for each in range(25)}, writer="n")
        self.put(("log", "plain")[which % 2], [])
        self.put("files", {})

    # What happens to checkpoints.

    def save(self, which: int, number: int) -> None:
        self.check(self.encode())

    def save_ahead(self, which: int, number: int) -> None:
        """Chunks are stored before the record, wherever there are many of them."""
        checkpoint = self.checkpoint()
        self.store_ahead(checkpoint)
        self.check(self.encode(checkpoint), checkpoint)

    def fail_to_save_ahead(self, which: int, number: int) -> None:
        """The store took a few chunks, and then failed."""
        self.store_ahead(self.checkpoint(), most=which % 3)

    def save_without_being_stored(self, which: int, number: int) -> None:
        """The sequence was taken: the next one brings along everything that this one would have."""
        self.encode()

    def fail(self, which: int, number: int) -> None:
        """Something can't be saved, after other things were encoded."""
        before = self.state.values.get("z", DELETED)
        self.set_node(which, number)
        self.state.apply({f"k{which % 25}": [text(number)], "z": UNSAVEABLE}, writer="n")
        with suppress(SerializationError):
            self.encode()
        self.put("z", before)

    def fail_in_a_section(self, which: int, number: int) -> None:
        self.set_key(which, number)
        with suppress(SerializationError):
            self.encode(result={"content": UNSAVEABLE})

    def run_out_of_time(self, which: int, number: int) -> None:
        """There was too much to do for the event loop, and a thread went on."""
        with suppress(CostExceededError):
            self.encode(budget=which % 40)

    def save_an_older_one(self, which: int, number: int) -> None:
        """What the encoder knows is of a later moment; or it failed there, on the way."""
        older = self.checkpoint()
        for change in (self.append, self.set_key, self.set_item, self.set_node, self.add_token):
            change(which, 1 + 450 * number)  # which removes nothing: what is removed comes last in an older capture
        self.put("z", UNSAVEABLE if which % 2 else 1)
        with suppress(SerializationError):
            self.encode()
        self.put("z", DELETED)
        self.check(self.encode(older), older)

    def lose(self, which: int, number: int) -> None:
        """The process was killed; what it left is collected."""
        self.begin(f"w{self.sequence}")
        self.blobs.clear()

    def checkpoint(self, **more: Any) -> GraphCheckpoint:
        frontier = {"next_token": 1, "tokens": self.tokens.capture(), "contents": self.contents.capture(), **more}
        return GraphCheckpoint(
            "c", "g", MOMENT, graph_state=self.state.capture(), node_states=self.nodes.capture(), frontier=frontier
        )

    def encode(self, checkpoint: GraphCheckpoint | None = None, *, budget: int | None = None, **more: Any) -> Record:
        checkpoint = checkpoint or self.checkpoint(**more)
        if self.stores_ahead and budget is None:
            self.store_ahead(checkpoint)
        self.sequence += 1
        cost_budget = None
        if budget is not None:
            cost_budget = CostBudget(last_cost=0)
            cost_budget._allowed = budget
        return self.codec.encode(
            checkpoint,
            sequence=self.sequence,
            manual=False,
            nonce="n",
            cache=self.cache,
            blobs=self.new,
            cost_budget=cost_budget,
        )

    def store_ahead(self, checkpoint: GraphCheckpoint, *, most: int | None = None) -> None:
        """Store chunks until no more are to be stored before the record, or there were so many."""
        sections = {name: getattr(checkpoint, name) for name in SECTIONS}
        ahead = self.codec.encode_ahead(sections, sequence=self.sequence + 1, cache=self.cache, blobs=self.new)
        for count, _ in enumerate(ahead, start=1):
            self.times_ahead += 1
            contents = self.new.ahead()
            self.blobs |= contents
            self.new.stored(contents)
            if count == most:
                break

    def check(self, record: Record, checkpoint: GraphCheckpoint | None = None) -> None:
        """The record is stored, and found to be what it should be."""
        self.store(record)
        for followed in self.cache.sections.values():
            check_books(followed)
        references = self.codec.references(record)
        loaded = self.codec.read(self.codec.open(record), self.blobs)
        expected = checkpoint or self.checkpoint()
        for section in ("graph_state", "node_states", "frontier"):
            assert ordered(getattr(loaded, section)) == ordered(getattr(expected, section)), section
        assert {each.name for each in references} == self.blobs.keys(), "what nothing refers to was not retired"
        whole = self.codec.inline_blobs(record, self.blobs)
        assert ordered(self.codec.decode(whole).graph_state) == ordered(loaded.graph_state)

    def store(self, record: Record) -> None:
        """The record is durable, and what it no longer needs is deleted."""
        self.bytes_in_records += len(record.payload)
        self.bytes_in_blobs += sum(map(len, record.blobs.values()))
        self.blobs |= record.blobs
        for name in self.cache.retired:
            assert self.blobs.pop(name, None) is not None, f"{name} was retired, and was never there"
        self.cache.retired.clear()
        self.new.stored([*self.new.unstored])
        assert not self.new.held


def check_books(followed: Followed) -> None:
    """What is known of the chunks of a mapping is true of them."""
    stored = followed.chunked
    owners, removed = stored._owners, stored._removed
    copies = Counter(key for chunk in stored.chunks.values() for key in chunk.sizes if owners.get(key) is not chunk)
    for chunk in stored.chunks.values():
        in_use = [size for key, size in chunk.sizes.items() if owners.get(key) is chunk]
        assert bool(in_use) or bool(chunk.removed), "a chunk is kept that nothing is needed of"
        assert chunk.live == sum(in_use) + sum(map(size_of_removed, chunk.removed))
    most = 3 * stored._thresholds.ratio + 2 * stored.total // stored._thresholds.largest + 3
    assert len(stored.chunks) <= most, "there are too many chunks"
    assert stored._dead_copies == copies
    assert removed.keys() == {key for key in copies if key not in stored}, (
        "removed keys are not remembered, or for nothing"
    )
    assert not stored.unkept, "something is neither in a chunk nor in the record"
    assert stored.size == sum(len(item) for item in stored.tail.values() if isinstance(item, bytes))
    for each in stored.apart.values():
        if isinstance(each, Followed):
            check_books(each)


def ordered(value: Any) -> Any:
    """A value of which dicts are compared in order."""
    if isinstance(value, dict | ItemMapping):
        return [(key, ordered(value[key])) for key in value]
    return [ordered(each) for each in value] if isinstance(value, list | ItemList) else value


def edited(items: Iterable[Any], which: int, number: int) -> list[Any]:
    """A list after one edit; the items are copies, as those that ``get`` returns."""
    items = [str(bytes(item, "ascii"), "ascii") for item in items if isinstance(item, str)]
    place = number % (len(items) + 1)
    match which % 9:
        case 0:
            items.insert(place, text(number))
        case 1:
            items.insert(0, text(number))
        case 2:
            del items[place : place + 1]
        case 3:
            del items[: number % 4]
        case 4:
            items.sort()
        case 5:
            items[place : place + 1] = [text(number)]
        case 6:
            items[place:place] = [text(number)] * 3
        case 7:
            items.reverse()
        case _:
            items += [text(number), text(number + 1)]
    return items


OFTEN: Final = [
    "set_key",
    "set_text",
    "delete_key",
    "append",
    "set_log",
    "set_plain",
    "set_item",
    "delete_item",
    "set_table",
    "set_node",
    "add_token",
    "remove_token",
    "put_again",
]
SELDOM: Final = [
    "save_without_being_stored",
    "fail",
    "fail_in_a_section",
    "run_out_of_time",
    "save_ahead",
    "fail_to_save_ahead",
    "save_an_older_one",
    "become_something_else",
    "empty",
    "lose",
]
ACTS: Final[dict[str, Any]] = {name: getattr(History, name) for name in (*OFTEN, *SELDOM, "save")}


def steps(seed: int, count: int) -> list[Step]:
    """So many steps, the same for each seed: of a few kinds, now and then something else, and many checkpoints."""
    source = random.Random(seed)
    acts = [*source.sample(OFTEN, 3) * 5, *source.sample(SELDOM, 3), *["save"] * 10]
    return [(source.choice(acts), source.randrange(1000), source.randrange(1000)) for _ in range(count)]


def live(history: Iterable[Step], *, stores_ahead: bool = False) -> History:
    """A history in which all of that happened, and which is saved at last.

    :param stores_ahead: whether chunks are always stored ahead of their record.
    """
    lived = History(stores_ahead=stores_ahead)
    for step in history:
        lived.step(step)
    lived.save(0, 0)
    return lived
