"""A mapping whose versions share their items: what a tracked mapping is captured as, and what a dict of the state becomes
when single items of it are set.

All versions share the dict of the newest one. When the next is made, what that changes is noted for the version before: a version
is read from the shared dict, and then from what was noted since, oldest first. It is noted before the dict is changed, so
a version can be read in any thread meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import count
from typing import Any, Final, NamedTuple, Self, TypeAlias
from weakref import ref

_MISSING: Final = object()
_SPARE: Final = 64
"""So many changed keys are remembered of the smallest mapping."""
_UNTIDY: Final = 16
"""So many dead versions are left before what was noted for them is put together."""

Moment: TypeAlias = tuple[int, int]
"""Stands for one version of one mapping: equal to no other's. It keeps nothing alive."""


class Changes(NamedTuple):
    """What leads from one version to a later one: remove ``removed``, then put ``put``."""

    put: Collection[Any]
    """The keys whose values are others, in order, so that new ones are at the end."""
    removed: Collection[Any]
    """The keys that were removed. Some of them may be in neither version; one that was put again later is in ``put``, too."""


class ItemMapping(Mapping[Any, Any]):
    """One version of a mapping that changes item by item. It never changes, and any thread may read it while later ones are made.

    To others it is a dict: it is equal to one, and is copied, pickled and shown as one. Its keys are in the order of a dict,
    but for those that a later version removed: they come last where this one is read afterwards.

    :param items: those of the first version. They are its own from now on.
    """

    __slots__ = ("__weakref__", "_length", "_lineage", "_log", "_noted", "_number")

    def __init__(self, items: dict[Any, Any]) -> None:
        self._lineage = _Lineage(items)
        self._log = self._lineage.log
        self._noted = _Noted()
        self._number = 0
        self._length = len(items)

    def changed(self, put: Mapping[Any, Any], removed: Collection[Any] = ()) -> Self:
        """The version without ``removed``, and then with ``put``. Costs what is changed; where another went on from here, a copy.

        :raises KeyError: one of ``removed`` is not there.
        """
        if self._noted.link is not None:
            return type(self)(self.whole()).changed(put, removed)
        lineage = self._lineage
        items = lineage.items
        before = {key: items[key] for key in removed}
        for key in put:
            if key not in before:
                before[key] = items.get(key, _MISSING)
        newer = object.__new__(type(self))
        newer._lineage = lineage
        newer._number = self._number + 1
        newer._noted = _Noted()
        self._noted.link = before, newer._noted
        for key in removed:
            del items[key]
        items.update(put)
        newer._length = len(items)
        newer._log = lineage.note(newer._number, Changes(tuple(put), tuple(removed)))
        lineage.follow(self, newer._noted)
        return newer

    @property
    def moment(self) -> Moment:
        """Stands for this version."""
        return self._lineage.id, self._number

    def changes_since(self, moment: Moment | None) -> Changes | None:
        """What leads from an earlier version to this one.

        None where that is not known, for which values are compared: one that did not change is the same object.
        """
        if moment is None or moment[0] != self._lineage.id:
            return None
        start, records = self._log
        number = moment[1]
        if not start <= number <= self._number:
            return None
        if number == self._number - 1:
            return records[number - start]
        return _joined(records[number - start : self._number - start])

    def whole(self) -> dict[Any, Any]:
        """All of it, as a dict of the caller's own. The values are not copied."""
        lineage = self._lineage
        while True:
            tidied = lineage.tidied
            items = lineage.items.copy()
            link = self._noted.link
            noted: list[dict[Any, Any]] = []
            while link is not None:
                noted.append(link[0].copy())
                link = link[1].link
            if lineage.tidied == tidied:
                return _restored(items, noted) if noted else items

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key; ``default`` when there is none."""
        lineage = self._lineage
        while True:
            tidied = lineage.tidied
            value = lineage.items.get(key, _MISSING)  # before what was noted, which then explains any change of it
            link = self._noted.link
            while link is not None:
                noted = link[0].get(key, link)
                if noted is not link:
                    value = noted
                    break
                link = link[1].link
            if lineage.tidied == tidied:
                return default if value is _MISSING else value

    def __getitem__(self, key: Any) -> Any:
        value = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return self.get(key, _MISSING) is not _MISSING

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


class Captured(ItemMapping):
    """What a tracked mapping held at one moment: a version that belongs to a checkpoint, where an ``ItemMapping`` is a value."""

    __slots__ = ()


class _Noted:
    """What the version after this one changed."""

    __slots__ = ("link",)

    def __init__(self) -> None:
        self.link: tuple[dict[Any, Any], _Noted] | None = None
        """What had been there before, by key, and what was noted next; None for the newest version."""


class _Log(NamedTuple):
    """The changes from one version to the next, from some version on. Only added to."""

    start: int
    """The number of the version that the first of them began with."""
    records: list[Changes]


class _Lineage:
    """What all versions of one mapping share."""

    __slots__ = ("_dead_from", "_logged", "_older", "id", "items", "log", "tidied")

    def __init__(self, items: dict[Any, Any]) -> None:
        self.items = items
        """Those of the newest version."""
        self.id = next(_IDS)
        self.log = _Log(0, [])
        self.tidied = 0
        """Who reads this before and after, and finds the same, has read nothing of which something was left out meanwhile."""
        self._logged = 0
        """How many keys the log names."""
        self._older: list[ref[ItemMapping]] = []
        """The older versions that may still be in use, oldest first."""
        self._dead_from = _UNTIDY
        """With so many of them it pays to look which are."""

    def note(self, number: int, changes: Changes) -> _Log:
        """The log with what led to this version. It is begun anew when it is longer than what it tells about."""
        self._logged += len(changes.put) + len(changes.removed)
        if self._logged > 2 * len(self.items) + _SPARE:
            self.log = _Log(number - 1, [])
            self._logged = len(changes.put) + len(changes.removed)
        self.log.records.append(changes)
        return self.log

    def follow(self, version: ItemMapping, newest: _Noted) -> None:
        """This version is no longer the newest."""
        self._older.append(ref(version))
        if len(self._older) > self._dead_from:
            self._tidy(newest)

    def _tidy(self, newest: _Noted) -> None:
        """Put together what was noted for dead versions: an old one in use costs what differs, not what happened since."""
        in_use = [version for version in (each() for each in self._older) if version is not None]
        self._older = [ref(version) for version in in_use]
        self._dead_from = 2 * len(in_use) + _UNTIDY
        self.tidied += 1
        later: list[dict[Any, Any]] = []
        until = newest
        for version in reversed(in_use):
            later.append(self._merge(version._noted, until, later))
            until = version._noted

    def _merge(self, noted: _Noted, until: _Noted, later: Iterable[dict[Any, Any]]) -> dict[Any, Any]:
        """Take over what was noted up to another version. What came and went leaves no trace.

        :param later: all that is noted from there on.
        """
        assert noted.link is not None
        before, next = noted.link
        while next is not until:
            assert next.link is not None
            for key, value in next.link[0].items():
                was_missing = before.setdefault(key, value) is _MISSING
                if was_missing and key not in self.items and not any(key in each for each in later):
                    del before[key]
            next = next.link[1]
        noted.link = before, until
        return before


def _joined(records: Iterable[Changes]) -> Changes:
    put: dict[Any, None] = {}
    removed: dict[Any, None] = {}
    for each in records:
        for key in each.removed:
            put.pop(key, None)
            removed[key] = None
        put.update(dict.fromkeys(each.put))
    return Changes(put.keys(), removed.keys())


def _restored(items: dict[Any, Any], noted: list[dict[Any, Any]]) -> dict[Any, Any]:
    """The items as they were before all that was noted, which is oldest first."""
    before: dict[Any, Any] = {}
    for each in reversed(noted):
        before.update(each)
    for key, value in before.items():
        if value is not _MISSING:
            items[key] = value
        else:
            items.pop(key, None)
    return items


_IDS: Final = count(1)
