"""Steps that run at the same time, checked against plain lists and dicts that are copied all the time."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from spark.errors import StateConflictError

MODULES: Final = (
    "spark.graphs.values.overlays",
    "spark.graphs.state.updates",
    "spark.graphs.state.transactions",
    "spark.graphs.state.step_state",
)
LISTS, DICTS, ITEMS = ("list", "other list"), ("dict", "other dict"), "abcd"
_GONE: Final = type("Gone", (), {})  # a class, which is never copied

Update = Callable[[Any], Any]


class Plain:
    """What a step, or a block of one, did to the state. A value that is not there is ``_GONE``."""

    def __init__(self, committed: dict[str, Any], below: Plain | None = None) -> None:
        self.committed = committed
        self.below = below
        self.written: dict[str, Any] = {}
        self.updates: dict[str, list[Update]] = {}
        self.read: dict[str, int] = {}

    def seen(self, key: str) -> Any:
        value = self.written[key] if key in self.written else self.seen_below(key)
        for update in self.updates.get(key, ()):
            value = update(copy.deepcopy(value))
        return value

    def seen_below(self, key: str) -> Any:
        return self.below.seen(key) if self.below is not None else self.committed.get(key, _GONE)

    def note_read(self, key: str, now: int) -> None:
        if key in self.written:
            return
        if self.below is not None:
            self.below.note_read(key, now)
        else:
            self.read.setdefault(key, now)

    def write(self, key: str, value: Any) -> None:
        self.written[key] = copy.deepcopy(value)
        self.updates.pop(key, None)

    def update(self, key: str, update: Update) -> None:
        if key in self.written:
            self.written[key] = update(copy.deepcopy(self.written[key]))
        else:
            self.updates.setdefault(key, []).append(update)

    def keys(self) -> set[str]:
        known = {*self.committed, *LISTS, *DICTS}
        return {key for key in known if self.seen(key) is not _GONE}

    def merge(self) -> None:
        assert self.below is not None
        for key, value in self.written.items():
            self.below.write(key, value)
        for key, updates in self.updates.items():
            for update in updates:
                self.below.update(key, update)


def appending(items: list[Any]) -> Update:
    return lambda value: [*([] if value is _GONE else value), *items]


def setting(item: str, given: Any) -> Update:
    return lambda value: ({} if value is _GONE else value) | {item: given}


def deleting(item: str) -> Update:
    return lambda value: value if value is _GONE else {key: each for key, each in value.items() if key != item}


class Running:
    """A step under way, as it is and as it has to be."""

    def __init__(self, state: SimpleNamespace, store: Any, committed: dict[str, Any]) -> None:
        self.transaction = state.StateTransaction(store, "node")
        self.states = [state.GraphState(self.transaction)]
        self.blocks: list[Any] = []
        self.plains = [Plain(committed)]
        self.peeked: list[tuple[Any, Any]] = []


async def check_state(state: SimpleNamespace, drawn: random.Random, *, acts: int = 60) -> None:
    """Up to four steps at a time, which end in any order; they read and write lists and dicts in every way that there is."""
    committed: dict[str, Any] = {"list": [{"at": "start"}], "dict": {"a": 1}}
    store, versions, now = state.StateStore("graph_state", committed), dict[str, int](), 0
    running: list[Running] = []
    for number in range(acts):
        if not running or (len(running) < 4 and drawn.random() < 0.3):
            running.append(Running(state, store, committed))
        step = drawn.choice(running)
        if drawn.random() < 0.15:
            running.remove(step)
            if await _end(step, store, committed, versions, now + 1):
                now += 1
        else:
            await _act(step, drawn, number, now)
        assert store.copy() == committed
        for each in running:
            for peeked, expected in each.peeked:
                assert _plain(peeked) == expected


async def _end(step: Running, store: Any, committed: dict[str, Any], versions: dict[str, int], now: int) -> bool:
    """Commit a step; whether anything was committed."""
    while step.blocks:
        await _leave(step, fails=False)
    plain = step.plains[0]
    conflicts = any(key in plain.written and versions.get(key, 0) > seen for key, seen in plain.read.items())
    try:
        changes = step.transaction.prepare(store)
    except StateConflictError:
        if conflicts:
            return False
        raise
    assert not conflicts
    store.apply(changes, writer="node")
    for key in [*plain.written, *plain.updates]:
        value = plain.seen(key)
        if value is not _GONE:
            committed[key] = copy.deepcopy(value)
        else:
            committed.pop(key, None)
        if value is not _GONE or key in plain.written:
            versions[key] = now
    return True


async def _leave(step: Running, *, fails: bool) -> None:
    """End the innermost block."""
    step.states.pop()
    plain, block = step.plains.pop(), step.blocks.pop()
    if not fails:
        plain.merge()
        await block.__aexit__(None, None, None)
        return
    error = RuntimeError("the block fails")
    with contextlib.suppress(RuntimeError):
        await block.__aexit__(RuntimeError, error, None)


async def _act(step: Running, drawn: random.Random, number: int, now: int) -> None:
    """One call, and what it has to return."""
    state, plain = step.states[-1], step.plains[-1]
    key = drawn.choice(LISTS + DICTS)
    act = drawn.choice(("grow", "grow", "grow", "read", "read", "set", "update", "delete", "open", "close", "keys"))
    if act == "open" and len(step.blocks) < 2:
        step.blocks.append(state.transaction())
        step.states.append(await step.blocks[-1].__aenter__())
        step.plains.append(Plain(plain.committed, plain))
    elif act == "close" and step.blocks:
        await _leave(step, fails=drawn.random() < 0.3)
    elif act == "keys":
        assert {*await state.keys()} == plain.keys()
    elif act == "set":
        value = [number] if key in LISTS else {drawn.choice(ITEMS): number}
        await state.set(key, value)
        plain.write(key, value)
    elif act == "delete":
        plain.note_read(key, now)
        assert await state.delete(key) == (plain.seen(key) is not _GONE)
        plain.write(key, _GONE)
    elif act == "update" and key in LISTS:
        await state.update(key, lambda value: [*value, "updated"], [])
        plain.update(key, lambda value: [*([] if value is _GONE else value), "updated"])
    elif act == "grow":
        await _grow(state, plain, key, drawn, number)
    elif act == "read":
        plain.note_read(key, now)
        await _read(step, key, drawn)


async def _grow(state: Any, plain: Plain, key: str, drawn: random.Random, number: int) -> None:
    if key in LISTS:
        items = [{"at": number}, number][: drawn.randint(0, 2)]
        await (state.append(key, *items) if drawn.random() < 0.5 else state.extend(key, iter(items)))
        if items:
            plain.update(key, appending(items))
        return
    item = drawn.choice(ITEMS)
    if drawn.random() < 0.6:
        await state.set_item(key, item, {"at": number})
        plain.update(key, setting(item, {"at": number}))
    else:
        await state.delete_item(key, item)
        plain.update(key, deleting(item))


async def _read(step: Running, key: str, drawn: random.Random) -> None:
    state, seen = step.states[-1], step.plains[-1].seen(key)
    expected: Any = ([] if key in LISTS else {}) if seen is _GONE else seen
    way = drawn.choice(("length", "has", "peek", "get", "slice"))
    if way == "length":
        assert await state.length(key) == len(expected)
    elif way == "has":
        assert await state.has(key) == (seen is not _GONE)
    elif way == "get":
        got = await state.get(key, type(expected)())
        assert got == expected
        assert type(got) is type(expected)
        got.clear()
    elif way == "slice" and key in LISTS:
        start, stop = (drawn.choice([None, *range(-4, 5)]) for _ in range(2))
        assert await state.slice(key, start, stop) == expected[start:stop]
    else:
        peeked = await state.peek(key, expected)
        step.peeked.append((peeked, copy.deepcopy(expected)))
        assert len(peeked) == len(expected)
        assert [item in peeked for item in ITEMS] == [item in expected for item in ITEMS]


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "keys") else list(value)
