"""Whatever steps do at the same time, in whatever order they commit, the state is what plain copies of all of it would be."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.state.state_model import MODULES, check_state
from tests.support.planting import Bug, planted
from tests.support.variants import in_full, tries


@in_full
@settings(max_examples=tries(60), deadline=None)
@given(st.integers(0, 2**32))
def test_steps_at_the_same_time_leave_what_plain_copies_would(seed: int) -> None:
    asyncio.run(check_state(RIGHT, random.Random(seed)))


RIGHT: Final = planted(MODULES)
UPDATES, TRANSACTIONS, OVERLAYS = MODULES[1], MODULES[2], MODULES[0]
BUGS = [
    Bug(
        "append forgets its earlier items",
        UPDATES,
        "self._items = self._items.extended(later._items)",
        "self._items = later._items",
    ),
    Bug(
        "append changes the committed list",
        UPDATES,
        "ItemList([*value, *self._items])",
        "ItemList(value).extended(self._items)",
    ),
    Bug("items that were set are forgotten", UPDATES, "        self._put.update(later._put)\n", ""),
    Bug("a deleted item that was set is set", UPDATES, "            self._put.pop(key, None)\n", ""),
    Bug("a deletion is forgotten", UPDATES, "            self._removed[key] = None\n", ""),
    Bug(
        "a peeked dict changes",
        UPDATES,
        "ChangedItems(value, dict(self._put), frozenset(self._removed))",
        "ChangedItems(value, self._put, self._removed)",
    ),
    Bug(
        "a deletion makes a dict",
        UPDATES,
        "return ItemMapping(dict(self._put)) if self.makes_value else MISSING\n        removed",
        "return ItemMapping(dict(self._put))\n        removed",
    ),
    Bug(
        "keys lists what a deletion made",
        UPDATES,
        "        self.makes_value = bool(put)\n",
        "        self.makes_value = True\n",
    ),
    Bug(
        "two appends count as one",
        UPDATES,
        "        self._items = self._items.extended(later._items)\n        self.times += later.times\n        return True",
        "        return True",
    ),
    Bug(
        "an append after a set is forgotten",
        TRANSACTIONS,
        "            self.writes[key] = self.kept(key, value, self.view) if update.is_raw else _written(value)\n",
        "",
    ),
    Bug(
        "a set keeps updates of before",
        TRANSACTIONS,
        "        self.writes[check_key(key)] = value\n        self.updates.pop(key, None)\n",
        "        self.writes[check_key(key)] = value\n",
    ),
    Bug(
        "length is no read",
        TRANSACTIONS,
        "        value = self.read(key, MISSING)\n        if value is MISSING:\n            return 0\n",
        "        value = self._seen(key)\n        if value is MISSING:\n            return 0\n",
    ),
    Bug(
        "a block forgets what it appended",
        TRANSACTIONS,
        "                for update in pending:\n                    _add(outer.updates, update)\n",
        "                pass\n",
    ),
    Bug(
        "a block forgets what it appended to what was set",
        TRANSACTIONS,
        "(self.writes | applied).items()",
        "self.writes.items()",
    ),
    Bug(
        "own items are not seen",
        TRANSACTIONS,
        "value = self.updated(key, value, self.view, is_commit=False)\n        return default",
        "pass\n        return default",
    ),
    Bug(
        "a slice starts too late",
        OVERLAYS,
        "self._added[max(start - length, 0)",
        "self._added[max(start - length + 1, 0)",
    ),
    Bug("a slice loses its end", OVERLAYS, "max(stop - length, 0)]", "max(stop - length - 1, 0)]"),
    Bug(
        "the length leaves out what was added",
        OVERLAYS,
        "return len(self._items) + len(self._added)",
        "return len(self._items)",
    ),
    Bug(
        "the length counts what was set again twice",
        OVERLAYS,
        "sum(key in removed or key not in items for key in put)",
        "len(put)",
    ),
    Bug("a deleted item is there", OVERLAYS, "        if key in self._removed:\n            raise KeyError(key)\n", ""),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    assert finds_a_mistake(planted(MODULES, bug))


def finds_a_mistake(state: SimpleNamespace) -> bool:
    try:
        for seed in range(200):
            asyncio.run(check_state(state, random.Random(seed)))
    except Exception:
        return True
    return False


@in_full
def test_without_a_bug_nothing_is_found() -> None:
    assert not finds_a_mistake(RIGHT)
