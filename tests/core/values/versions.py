"""What versions of lists and mappings promise, checked against plain copies of everything."""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

MODULES: Final = (
    "spark.graphs.values.item_list",
    "spark.graphs.values.item_mapping",
    "spark.graphs.values.tracked",
)

KEYS: Final = "abcdef"


def hasten(values: Any) -> None:
    """Let logs be begun anew, and what was noted be tidied, after a few changes."""
    names = values.ItemMapping.changed.__globals__
    names["_SPARE"], names["_UNTIDY"] = -6, 1


class Held:
    """A version, and what it has to be."""

    def __init__(self, version: Any, expected: Any) -> None:
        self.version = version
        self.expected = expected

    def check(self) -> None:
        version, expected = self.version, self.expected
        assert version == expected
        assert version.whole() == expected
        assert len(version) == len(expected)
        for key in KEYS:
            assert (key in version) == (key in expected)
            assert version.get(key, "none") == expected.get(key, "none")
        assert [*version] == [*expected]
        assert [*version.items()] == [*expected.items()]


class Follower:
    """Somebody who takes over changes, now and then."""

    def __init__(self) -> None:
        self.moment: Any = None
        self.items: dict[str, Any] = {}

    def follow(self, held: Held) -> None:
        version = held.version
        changes = version.changes_since(self.moment)
        if changes is None:
            self.items = dict(held.expected)
        else:
            assert [*dict.fromkeys(changes.put)] == [*changes.put]
            for key in changes.removed:
                self.items.pop(key, None)
            for key in changes.put:
                self.items[key] = version[key]
        self.moment = version.moment
        assert [*self.items.items()] == [*held.expected.items()]


def check_mapping(values: Any, drawn: random.Random, *, steps: int = 40) -> None:
    """Many versions, some in use for long, some that two others continue."""
    newest = values.ItemMapping(dict.fromkeys(KEYS[: drawn.randint(0, 4)], 0))
    held = [Held(newest, dict(newest))]
    others: list[Held] = []
    followers, late = [Follower() for _ in range(2)], Follower()
    waiting: deque[Held] = deque()
    for step in range(steps):
        base = held[-1]
        put, removed = _changes(base.expected, drawn, step)
        if len(held) > 1 and drawn.random() < 0.1:  # another version goes on from an old one
            old = drawn.choice(held[:-1])
            put, removed = _changes(old.expected, drawn, step)
            others.append(Held(old.version.changed(put, removed), _changed(old.expected, put, removed)))
            continue
        before = base.version.moment
        version = base.version.changed(put, removed)
        assert version.changes_since(before) is not None
        held.append(Held(version, _changed(base.expected, put, removed)))
        for follower in followers:
            if drawn.random() < 0.4:
                follower.follow(held[-1])
        waiting.append(held[-1])
        while waiting and drawn.random() < 0.6:
            oldest = waiting.popleft()
            if drawn.random() < 0.6:
                late.follow(oldest)
        if len(held) > 2 and drawn.random() < 0.5:
            del held[drawn.randrange(len(held) - 1)]
        for each in held + others:
            each.check()
        assert version.changes_since(values.ItemMapping({}).moment) is None
        if others:
            assert drawn.choice(others).version.changes_since(version.moment) is None
            assert base.version.changes_since(version.moment) is None


def _changes(items: dict[str, Any], drawn: random.Random, step: int) -> tuple[dict[str, Any], list[str]]:
    removed = [key for key in items if drawn.random() < 0.2]
    put = {key: drawn.choice([step, None]) for key in drawn.sample(KEYS, drawn.randint(0, 2))}
    return put, removed


def _changed(items: dict[str, Any], put: dict[str, Any], removed: list[str]) -> dict[str, Any]:
    return {key: value for key, value in items.items() if key not in removed} | put


def check_list(values: Any, drawn: random.Random, *, steps: int = 20) -> None:
    """Versions of a list, some of which two others continue."""
    held = [(values.ItemList([0, 1]), [0, 1])]
    for step in range(steps):
        version, expected = held[-1] if drawn.random() < 0.7 else drawn.choice(held)
        added = [step] * drawn.randint(0, 2)
        longer = version.extended(each for each in added)
        assert longer.continues(version) or version is not held[-1][0]
        assert not (added and version.continues(longer))
        held.append((longer, expected + added))
        one, other = drawn.choice(held), drawn.choice(held)
        if one[0].continues(other[0]):
            assert one[1][: len(other[1])] == other[1]
        for each, items in held:
            assert each == items
            assert [*each] == items
            assert len(each) == len(items)
            cut = slice(
                drawn.choice([None, *range(-9, 9)]), drawn.choice([None, *range(-9, 9)]), drawn.choice([None, 2, -1])
            )
            assert each[cut] == items[cut]
            place = drawn.randint(-9, 9)
            assert item_at(each, place) == item_at(items, place)


def item_at(items: Any, place: int) -> Any:
    try:
        return items[place]
    except IndexError:
        return "none"


def check_tracked(values: Any, drawn: random.Random, *, steps: int = 40) -> None:
    """What is put and removed between captures, which are read at once and later."""
    to_data = (lambda value: -value) if drawn.random() < 0.5 else None
    if to_data and drawn.random() < 0.5:
        mapping = values.TrackedMapping(lambda value: (value,), shown=lambda kept: -kept[0])
    else:
        mapping = values.TrackedMapping(to_data)
    expected: dict[str, int] = {}
    held: list[Held] = []
    followers = [Follower() for _ in range(2)]
    for step in range(steps):
        key = drawn.choice(KEYS)
        if key in expected and drawn.random() < 0.4:
            mapping.remove(key)
            del expected[key]
        else:
            mapping.put(key, step)
            expected[key] = step
        assert [*mapping.values.items()] == [*expected.items()]
        if drawn.random() < 0.4:
            captured = mapping.capture()
            assert mapping.capture() is captured
            held.append(Held(captured, {key: -value if to_data else value for key, value in expected.items()}))
            for follower in followers:
                if drawn.random() < 0.6:
                    follower.follow(held[-1])
        if held:
            since = drawn.choice(held)
            changed = {
                key for key, value in expected.items() if since.expected.get(key) != (-value if to_data else value)
            }
            assert changed <= {*mapping.changed_since(since.version)} <= expected.keys()
        for each in held:
            each.check()
        if len(held) > 3:
            del held[drawn.randrange(len(held) - 1)]


def check_interleaved(values: Any, drawn: random.Random) -> None:
    """A thread is interrupted at any line of a read, or of a change, and another one does the other meanwhile."""
    for read in (
        lambda version: [*version.whole().items()],
        lambda version: [(key, version[key]) for key in KEYS if key in version],
    ):
        for is_reader in (True, False):
            at = 0
            while _is_interrupted(values, read, at, is_reader=is_reader, seed=drawn.randint(0, 50)):
                at += 1


def _is_interrupted(values: Any, read: Callable[[Any], Any], at: int, *, is_reader: bool, seed: int) -> bool:
    """Interrupt one of the two at this line; False when it has fewer."""
    drawn = random.Random(seed)
    times = drawn.randint(1, 6)
    versions = [Held(values.ItemMapping({"a": 0, "b": 0}), {"a": 0, "b": 0})]
    for step in range(drawn.randint(0, 2)):
        put, removed = _changes(versions[-1].expected, drawn, step)
        versions.append(Held(versions[-1].version.changed(put, removed), _changed(versions[-1].expected, put, removed)))
    version, newest, found = drawn.choice(versions), versions[-1].version, []
    del versions

    def look() -> None:
        result = read(version.version)
        assert result in ([*version.expected.items()], sorted(version.expected.items()))
        found.append(result)

    def write() -> None:
        nonlocal newest
        for step in range(times):
            newest = newest.changed(*_changes(dict(newest), drawn, step))

    traced, other = (look, write) if is_reader else (write, look)
    with _interrupted(traced.__globals__["MODULES"], at, other) as interruption:
        traced()
    look()
    return interruption.happened


class _Interruption:
    happened = False


@contextmanager
def _interrupted(modules: tuple[str, ...], at: int, other: Callable[[], None]) -> Iterator[_Interruption]:
    interruption, left = _Interruption(), at

    def on_line(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        if event == "line" and not interruption.happened:
            left -= 1
            if left < 0:
                interruption.happened = True
                sys.settrace(None)
                other()
                sys.settrace(on_call)
        return on_line

    def on_call(frame: Any, event: str, _: Any) -> Any:
        return on_line if frame.f_globals.get("__name__") in modules else None

    sys.settrace(on_call)
    try:
        yield interruption
    finally:
        sys.settrace(None)


CHECKS: Final = (check_mapping, check_list, check_tracked, check_interleaved)
