"""A mapping whose versions share their items: what a tracked mapping is captured as, and what a dict of the state becomes
when single items of it are set.

All versions share the dict of the newest one. When the next is made, what that changes is noted for the version before: a version
is read from the shared dict, and then from what was noted since, oldest first. It is noted before the dict is changed, so
a version can be read in any thread meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import count
from typing import Any, Final, NamedTuple, Self, TypeAlias
from weakref import ref

_MISSING: Final = object()
_SPARE: Final = 64
"""So many changed keys are remembered of the smallest mapping."""
_UNTIDY: Final = 16
"""So many versions that are out of use are left before what was noted for them is put together."""
_IDS: Final = count(1)
_new: Final = object.__new__

Shown: TypeAlias = Callable[[Any], Any]
Moment: TypeAlias = tuple[int, int]
"""Stands for one version of one mapping: equal to no other's. It keeps nothing alive."""


class Changes(NamedTuple):
    """What leads from one version to a later one: remove ``removed``, then put ``put``."""

    put: Collection[Any]
    """The keys whose values are others, in order, so that new ones are at the end."""
    removed: Collection[Any]
    """The keys that were removed. Some of them may be in neither version; one that was put again later is in ``put``, too."""


_Noted: TypeAlias = list[Any]
"""What the version after one changed: nothing yet; or what had been there, by key; in which places what was removed, or None; and
what was noted next. A flat list, because a history may have thousands, and the garbage collector looks at each object.
"""
_Logged: TypeAlias = tuple[tuple[Any, ...], tuple[Any, ...]]
"""What ``Changes`` has. The garbage collector looks only once at plain tuples of keys."""
_Log: TypeAlias = tuple[int, list[_Logged]]
"""What each version changed, from the one with this number on. Only added to."""


class ItemMapping(Mapping[Any, Any]):
    """One version of a mapping that changes item by item. It never changes, and any thread may read it while later ones are made.

    To others it is a dict: it is equal to one, and is copied, pickled and shown as one. Its keys are in the order of a dict.

    :param items: those of the first version. They are its own from now on.
    :param shown: the value that one of the items stands for, made anew each time that it is read; without it, the item itself.
    """

    __slots__ = ("__weakref__", "_length", "_lineage", "_log", "_noted", "_number")

    def __init__(self, items: dict[Any, Any], shown: Shown | None = None) -> None:
        self._lineage = _Lineage(items, shown)
        self._log = self._lineage.log
        self._noted: _Noted = []
        self._number = 0
        self._length = len(items)

    def changed(self, put: Mapping[Any, Any], removed: Collection[Any] = ()) -> Self:
        """The version without ``removed``, and then with ``put``. Costs the changes; a copy if another one continued from here.

        :raises KeyError: one of ``removed`` is not there.
        """
        if self._noted:
            return type(self)(self.kept(), self._lineage.shown).changed(put, removed)
        lineage = self._lineage
        items = lineage.items
        before = {}
        for key in removed:
            before[key] = items[key]
        for key in put:
            if key not in before:
                before[key] = items.get(key, _MISSING)
        newest: _Noted = []
        self._noted.extend((before, lineage.places_of(removed) if removed else None, newest))  # all at once
        if removed:
            lineage.remove(removed)
        items.update(put)
        if lineage.places:
            lineage.place(put)
        newer = _new(type(self))
        newer._lineage = lineage
        newer._noted = newest
        newer._length = len(items)
        newer._number = self._number + 1
        newer._log = lineage.follow(self, newer, (tuple(put), tuple(removed)))
        return newer

    @property
    def moment(self) -> Moment:
        """Stands for this version."""
        return self._lineage.id, self._number

    def changes_since(self, moment: Moment | None) -> Changes | None:
        """What leads from an earlier version to this one.

        None where that is not known, for which ``kept`` is compared: an item that did not change is the same object.
        """
        if moment is None or moment[0] != self._lineage.id:
            return None
        (start, all_changes), number = self._log, moment[1]
        if not start <= number <= self._number:
            return None
        if number == self._number - 1:
            return Changes(*all_changes[number - start])
        return _joined(all_changes[number - start : self._number - start])

    def whole(self) -> dict[Any, Any]:
        """All of it, as a dict of the caller's own. The values are not copied."""
        items, shown = self.kept(), self._lineage.shown
        return items if shown is None else {key: shown(item) for key, item in items.items()}

    def shown(self, item: Any) -> Any:
        """The value that an item of ``kept`` stands for."""
        shown = self._lineage.shown
        return item if shown is None else shown(item)

    def kept(self) -> dict[Any, Any]:
        """What stands for all of it: the same object for an item that did not change."""
        lineage = self._lineage
        lineage.reading.append(None)
        try:
            items = lineage.items.copy()  # first: whatever has changed it by then was noted before
            noted, found, removed = self._noted, list[dict[Any, Any]](), list[dict[Any, int]]()
            places = lineage.places
            while noted:
                before, gone, noted = noted
                found.append(before.copy())
                if gone:
                    removed.append(gone.copy())
                if not noted:  # and if there still is nothing afterwards, the places are those of that moment
                    places = lineage.places.copy()
        finally:
            lineage.reading.pop()
        return _restored(items, found, removed, places) if found else items

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key; ``default`` when there is none."""
        value, shown = self._find(key), self._lineage.shown
        if value is _MISSING:
            return default
        return value if shown is None else shown(value)

    def __getitem__(self, key: Any) -> Any:
        value, shown = self._find(key), self._lineage.shown
        if value is _MISSING:
            raise KeyError(key)
        return value if shown is None else shown(value)

    def __contains__(self, key: object) -> bool:
        return self._find(key) is not _MISSING

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return iter(self.whole())

    def keys(self) -> KeysView[Any]:
        """Its keys, as they are in a dict."""
        return self.whole().keys()

    def values(self) -> ValuesView[Any]:
        """Its values, in the same order."""
        return self.whole().values()

    def items(self) -> ItemsView[Any, Any]:
        """Its keys with their values."""
        return self.whole().items()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, dict | ItemMapping):
            return len(other) == self._length and self.whole() == (other if isinstance(other, dict) else other.whole())
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a dict has none

    def __repr__(self) -> str:
        return repr(self.whole())

    def __reduce__(self) -> tuple[type, tuple[dict[Any, Any]]]:
        return dict, (self.whole(),)

    def _find(self, key: Any) -> Any:
        """What stands for the value of a key, or ``_MISSING``."""
        lineage = self._lineage
        value = lineage.items.get(key, _MISSING)
        if not self._noted:
            return value
        lineage.reading.append(None)
        try:
            value = lineage.items.get(key, _MISSING)  # first: whatever has changed it by then was noted before
            noted = self._noted
            while noted:
                before, _, noted = noted
                found = before.get(key, before)
                if found is not before:
                    return found
            return value
        finally:
            lineage.reading.pop()


class Captured(ItemMapping):
    """What a tracked mapping held at one moment: a version that belongs to a checkpoint, where an ``ItemMapping`` is a value."""

    __slots__ = ()


class _Lineage:
    """What all versions of one mapping share."""

    __slots__ = ("_logged", "_older", "_places_given", "_tidy_from", "id", "items", "log", "places", "reading", "shown")

    def __init__(self, items: dict[Any, Any], shown: Shown | None) -> None:
        self.items = items
        """Those of the newest version."""
        self.shown = shown
        self.id = next(_IDS)
        self.places: dict[Any, int] = {}
        """Where each key stands, in rising numbers; empty before the first is removed."""
        self._places_given = 0
        self.log: _Log = (0, [])
        self.reading: list[None] = []
        """As many as read an older version just now: what they may need is left as it is."""
        self._logged = 0
        """How many keys the log names."""
        self._older: list[ref[ItemMapping]] = []
        """The versions that are no longer the newest, oldest first; some are out of use."""
        self._tidy_from = _UNTIDY
        """With more of them than that it pays to look which are."""

    def places_of(self, removed: Iterable[Any]) -> dict[Any, int]:
        """Where these keys stand, which are about to be removed."""
        if not self.places:
            self.places = dict(zip(self.items, count(), strict=False))  # all at once, for those who read meanwhile
            self._places_given = len(self.items)
        places = self.places
        return {key: places[key] for key in removed}

    def remove(self, keys: Iterable[Any]) -> None:
        """Remove these keys from the newest version."""
        for key in keys:
            del self.items[key], self.places[key]

    def place(self, keys: Iterable[Any]) -> None:
        """Put those of these keys last that are new."""
        places = self.places
        for key in keys:
            if key not in places:
                places[key] = self._places_given
                self._places_given += 1

    def follow(self, version: ItemMapping, newer: ItemMapping, changes: _Logged) -> _Log:
        """Log what led from one version to the next; the log is begun anew when it is longer than what it is about."""
        log, older = self.log, self._older
        self._logged += len(changes[0]) + len(changes[1])
        if self._logged > 2 * newer._length + _SPARE:
            log = self.log = version._number, []
            self._logged = len(changes[0]) + len(changes[1])
        before = log[1]
        # Of a loop that sets the same keys in each step, only one is kept: fewer objects for the garbage collector.
        before.append(before[-1] if before and before[-1] == changes else changes)
        older.append(ref(version))
        if len(older) > self._tidy_from and not self.reading:
            self._tidy(newer._noted)
        return log

    def _tidy(self, newest: _Noted) -> None:
        """Put together what was noted for versions out of use: an older one costs what differs, not what happened since."""
        in_use = [version for each in self._older if (version := each()) is not None]
        self._older = [ref(version) for version in in_use]
        self._tidy_from = 2 * len(in_use) + _UNTIDY
        later: list[dict[Any, Any]] = []
        until = newest
        for version in reversed(in_use):
            noted = version._noted
            later.append(noted[0] if noted[2] is until else self._merge(noted, until, later))
            until = noted

    def _merge(self, noted: _Noted, until: _Noted, later: Collection[dict[Any, Any]]) -> dict[Any, Any]:
        """Bring what was noted up to another version into one place, and return it. What came and went leaves no trace.

        :param later: all that is noted from there on.
        """
        before: dict[Any, Any]
        before, places, next = noted
        was_missing = set()
        while next is not until:
            more, more_places, next = next
            if more_places:
                places = {**more_places, **(places or {})}
            for key, value in more.items():
                if before.setdefault(key, value) is _MISSING:
                    was_missing.add(key)
        for key in was_missing:
            if key not in self.items and not any(key in each for each in later):
                del before[key]
                if places:
                    places.pop(key, None)
        noted[:] = before, places, until
        return before


def _joined(all_changes: Iterable[_Logged]) -> Changes:
    all_put: dict[Any, None] = {}
    all_removed: dict[Any, None] = {}
    for put, removed in all_changes:
        for key in removed:
            all_put.pop(key, None)
            all_removed[key] = None
        all_put.update(dict.fromkeys(put))
    return Changes(all_put.keys(), all_removed.keys())


def _restored(
    items: dict[Any, Any], found: list[dict[Any, Any]], removed: list[dict[Any, int]], places: dict[Any, int]
) -> dict[Any, Any]:
    """The items as they were before all that was noted, oldest first.

    :param removed: in which places what was removed had been.
    :param places: in which places the others are.
    """
    before: dict[Any, Any] = {}
    for each in reversed(found):
        before.update(each)
    for key, value in before.items():
        if value is not _MISSING:
            items[key] = value
        else:
            items.pop(key, None)
    if not removed:
        return items
    for left in reversed(removed):
        places.update(left)
    return {key: items[key] for key in sorted(items, key=places.__getitem__)}
