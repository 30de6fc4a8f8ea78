"""Versions of a list or a mapping share their items, and none ever changes: a checkpoint may be written long after it."""

from __future__ import annotations

import pickle
import random
import sys
import threading
import tracemalloc
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.graphs.values.item_list import ItemList
from spark.graphs.values.item_mapping import ItemMapping
from spark.graphs.values.overlays import ChangedItems, ExtendedItems
from spark.graphs.values.tracked import TrackedMapping
from tests.core.values.versions import MODULES, check_interleaved, check_list, check_mapping, check_tracked, hasten
from tests.support.planting import Bug, planted
from tests.support.variants import first_of, in_full, tries


@in_full
@settings(max_examples=tries(50), deadline=None)
@given(st.integers(0, 2**32))
def test_every_version_is_what_it_was_when_it_was_made(seed: int) -> None:
    for check in (check_mapping, check_list, check_tracked):
        check(HASTENED, random.Random(seed))


@in_full
def test_a_thread_that_is_interrupted_anywhere_reads_and_writes_whole_versions() -> None:
    for seed in range(tries(8)):
        check_interleaved(HASTENED, random.Random(seed))


@in_full
def test_threads_read_old_versions_while_new_ones_are_made() -> None:
    newest = ItemMapping(dict.fromkeys(range(50), 0))
    waiting: SimpleQueue[tuple[ItemMapping, dict[int, int]] | None] = SimpleQueue()
    wrong: list[object] = []

    def read() -> None:
        while (given := waiting.get()) is not None:
            version, expected = given
            if version != expected or any(version[key] != value for key, value in expected.items()):
                wrong.append(given)

    threads = [threading.Thread(target=read) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for step in range(tries(1_000)):
            waiting.put((newest, newest.whole()))
            newest = newest.changed({step % 70: step}, [key for key in [step % 50] if step % 3 == 0 and key in newest])
    finally:
        for _ in threads:
            waiting.put(None)
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)

    assert not wrong


def test_an_old_version_in_use_costs_what_differs_from_it_and_not_what_happened_since() -> None:
    """As of a token table, where what comes goes again: a thousand changes leave as much behind as a hundred thousand."""
    newest = ItemMapping({"a": 0})
    old = newest

    def grow(times: int) -> int:
        nonlocal newest
        tracemalloc.start()
        for number in range(times):
            newest = newest.changed({"a": number, number: number}, [number - 1] if number - 1 in newest else [])
        newest = newest.changed({}, [number])
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return grown

    assert grow(5_000) < 20_000
    assert old == {"a": 0}


def test_what_is_tracked_does_not_grow_with_the_number_of_changes() -> None:
    mapping = TrackedMapping[int]()
    mapping.put("a", 0)
    captured = mapping.capture()
    tracemalloc.start()
    for number in range(10_000):
        mapping.put(str(number), number)
        mapping.put("a", number)
        mapping.remove(str(number))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert grown < 5_000
    assert mapping.capture().changes_since(captured.moment) == (("a",), ())


def test_what_a_step_sees_of_its_own_items_is_like_a_list_and_a_dict() -> None:
    extended = ExtendedItems(ItemList([0, 1]), [2])
    changed = ChangedItems({"a": 1, "b": 2}, {"a": 3, "c": 4}, frozenset({"a"}))

    assert (extended[-1], extended[1], extended[::2], len(extended), 2 in extended) == (2, 1, [0, 2], 3, True)
    assert [*changed.items()] == [("b", 2), ("a", 3), ("c", 4)]
    assert (repr(extended), repr(changed)) == ("[0, 1, 2]", "{'b': 2, 'a': 3, 'c': 4}")
    assert [type(pickle.loads(pickle.dumps(each))) for each in (extended, changed)] == [list, dict]
    for place in (3, -4):
        with pytest.raises(IndexError):
            extended[place]
    with pytest.raises(KeyError):
        ChangedItems({"a": 1}, {}, {"a"})["a"]


IN_MAPPING: Final = "spark.graphs.values.item_mapping"
IN_LIST: Final = "spark.graphs.values.item_list"
IN_TRACKED: Final = "spark.graphs.values.tracked"
BUGS = [
    Bug(
        "noted after the change",
        IN_MAPPING,
        """        newest: _Noted = []
        self._noted.extend((before, lineage.places_of(removed) if removed else None, newest))  # all at once
        if removed:
            lineage.remove(removed)
        items.update(put)
""",
        """        newest: _Noted = []
        places = lineage.places_of(removed) if removed else None
        if removed:
            lineage.remove(removed)
        items.update(put)
        self._noted.extend((before, places, newest))
""",
    ),
    Bug("two continue one version", IN_MAPPING, "        if self._noted:\n", "        if False:\n"),
    Bug("new keys are not noted", IN_MAPPING, "            if key not in before:\n", "            if key in items:\n"),
    Bug("removed keys are not noted", IN_MAPPING, "            before[key] = items[key]\n", "            items[key]\n"),
    Bug(
        "the length is that of now",
        IN_MAPPING,
        "        return self._length\n",
        "        return len(self._lineage.items)\n",
    ),
    Bug("the shared dict is handed out", IN_MAPPING, "items = lineage.items.copy()", "items = lineage.items"),
    Bug("the newest change wins", IN_MAPPING, "for each in reversed(found):", "for each in found:"),
    Bug(
        "None that was noted is not there",
        IN_MAPPING,
        "if found is not before:",
        "if found is not before and found is not None:",
    ),
    Bug(
        "only the next change is looked at",
        IN_MAPPING,
        "            while noted:\n                before, _, noted = noted\n                found = before.get",
        "            if noted:\n                before, _, noted = noted\n                found = before.get",
    ),
    Bug(
        "values are read after what was noted",
        IN_MAPPING,
        """            value = lineage.items.get(key, _MISSING)  # first: whatever has changed it by then was noted before
            noted = self._noted
            while noted:
                before, _, noted = noted
                found = before.get(key, before)
                if found is not before:
                    return found
            return value
""",
        """            noted = self._noted
            while noted:
                before, _, noted = noted
                found = before.get(key, before)
                if found is not before:
                    return found
            return lineage.items.get(key, _MISSING)
""",
    ),
    Bug(
        "whether a version is the newest is asked before its value is read",
        IN_MAPPING,
        """        value = lineage.items.get(key, _MISSING)
        if not self._noted:
            return value
""",
        """        if not self._noted:
            return lineage.items.get(key, _MISSING)
""",
    ),
    Bug(
        "what was removed comes last",
        IN_MAPPING,
        "    if not removed:\n        return items\n",
        "    return items\n",
    ),
    Bug(
        "places are forgotten when it is tidied",
        IN_MAPPING,
        "places = {**more_places, **(places or {})}",
        "pass",
    ),
    Bug(
        "what is put again keeps the place of what was removed",
        IN_MAPPING,
        "            del self.items[key], self.places[key]\n",
        "            del self.items[key]\n",
    ),
    Bug("tidied while somebody reads", IN_MAPPING, " and not self.reading", ""),
    Bug(
        "tidied: newer values win",
        IN_MAPPING,
        "before.setdefault(key, value) is _MISSING",
        "before.update({key: value}) is value is _MISSING",
    ),
    Bug("tidied: what is there now is forgotten", IN_MAPPING, "key not in self.items and not any", "not any"),
    Bug("tidied: what a later version has is forgotten", IN_MAPPING, " and not any(key in each for each in later)", ""),
    Bug(
        "a log is begun one too late",
        IN_MAPPING,
        "log = self.log = version._number, []",
        "log = self.log = newer._number, []",
    ),
    Bug(
        "a log is cleared",
        IN_MAPPING,
        "            log = self.log = version._number, []\n",
        "            log[1].clear()\n            log = self.log = version._number, log[1]\n",
    ),
    Bug(
        "changes of later versions are reported",
        IN_MAPPING,
        "[number - start : self._number - start]",
        "[number - start :]",
    ),
    Bug("changes of another mapping are reported", IN_MAPPING, " or moment[0] != self._lineage.id", ""),
    Bug(
        "changes since a later version are reported",
        IN_MAPPING,
        "if not start <= number <= self._number:",
        "if not start <= number:",
    ),
    Bug("what was put and then removed is put", IN_MAPPING, "            all_put.pop(key, None)\n", ""),
    Bug("removals are not reported", IN_MAPPING, "            all_removed[key] = None\n", ""),
    Bug("two continue one list", IN_LIST, "        if len(shared) != self._length:\n", "        if False:\n"),
    Bug("a shorter list continues a longer one", IN_LIST, " and earlier._length <= self._length", ""),
    Bug("a slice goes past the end", IN_LIST, "self._items[slice(*place.indices(self._length))]", "self._items[place]"),
    Bug("iterating goes past the end", IN_LIST, "return islice(self._items, self._length)", "return iter(self._items)"),
    Bug("an index counts from the end of all", IN_LIST, "place if place >= 0 else self._length + place", "place"),
    Bug("a removal is not captured", IN_TRACKED, "self._changed.pop(key, True)", "self._changed.pop(key, False)"),
    Bug(
        "what came and went is removed",
        IN_TRACKED,
        "self._changed[key] = key in self.values",
        "self._changed[key] = True",
    ),
    Bug(
        "removals are captured again and again",
        IN_TRACKED,
        "last.changed(put, removed), {}, {}",
        "last.changed(put, removed), {}, removed",
    ),
    Bug(
        "a put is not tracked",
        IN_TRACKED,
        "        if self.captured is not None and key not in self._changed:\n",
        "        if self.captured is not None and key not in self._changed and key not in self.values:\n",
    ),
    Bug(
        "what is put again keeps its place",
        IN_TRACKED,
        "            self._removed[key] = None\n",
        "            self._removed[key] = None\n            self._changed[key] = True\n",
    ),
    Bug(
        "changes since an older capture are forgotten", IN_TRACKED, "{*changes.put, *self._changed}", "{*self._changed}"
    ),
]


@pytest.mark.parametrize("bug", first_of(BUGS), ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    values = planted(MODULES, bug)
    hasten(values)

    assert finds_a_mistake(values)


def finds_a_mistake(values: SimpleNamespace) -> bool:
    try:
        for seed in range(tries(40)):
            for check in (check_mapping, check_list, check_tracked):
                check(values, random.Random(seed))
        for seed in range(tries(10)):
            check_interleaved(values, random.Random(seed))
    except Exception:
        return True
    return False


@in_full
def test_without_a_bug_nothing_is_found() -> None:
    assert not finds_a_mistake(HASTENED)


HASTENED: Final = planted(MODULES)
hasten(HASTENED)
