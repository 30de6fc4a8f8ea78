"""A mapping or a list whose items are encoded one by one: what changed since the last checkpoint, and nothing else.

A value that was captured says what changed. Of others, items are compared: the same object is the same item, and where a long
list or a large dict was set again, so is one that is encoded to the same bytes.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from spark.graphs.checkpoint.encoding.chunk import (
    NOT_ENCODED,
    Encoding,
    FollowedCache,
    Item,
    Key,
    Unkept,
    held,
    print_of,
)
from spark.graphs.checkpoint.encoding.chunked import ChunkedMapping
from spark.graphs.checkpoint.encoding.places import Place, arranged, compact
from spark.graphs.checkpoint.serialization.writer import are_names
from spark.graphs.values.item_list import ItemList
from spark.graphs.values.item_mapping import Captured, ItemMapping, Moment

TRACKED_MAPPINGS: Final = frozenset({Captured, ItemMapping})
"""Mappings that say how they changed."""
TRACKED: Final = TRACKED_MAPPINGS | {ItemList}
"""All that says how it changed."""
_NEW: Final = object()


class Followed:
    """The items of one mapping or list, as they were encoded last.

    :param path: how messages name it.
    :param is_constant: what is in there won't change.
    """

    is_list: bool

    def __init__(self, path: str, cache: FollowedCache, *, is_constant: bool = False) -> None:
        self.path = path
        self.chunked = ChunkedMapping(
            cache.thresholds, is_list=self.is_list, retired=cache.retired.extend, is_constant=is_constant
        )
        self.values: Any = ()
        """What the items were encoded from."""
        self._compares = cache.thresholds.blob_cost < math.inf
        self.prints: dict[Key, bytes] = {}
        """Key to what tells whether an item is encoded as before, of values that don't say what changed."""
        self.is_sure = False
        """Every item is that of ``values``. If not, encoding has failed on the way."""

    # As an item of what it is in.

    @property
    def is_pinned(self) -> bool:
        """It refers to blobs."""
        return bool(self.chunked.chunks) or any(each.is_pinned for each in self.chunked.apart.values())

    def __len__(self) -> int:
        return self.chunked.size + sum(map(len, self.chunked.apart.values()))

    def names(self) -> Iterable[str]:
        """The blobs that it refers to."""
        return self.chunked.names()

    def takes(self, value: Any) -> bool:
        """Whether it can follow this value."""
        raise NotImplementedError

    def follow(self, value: Any, encoding: Encoding) -> bool:
        """Encode what changed; False where the keys can't be those of a plain object, and nothing was changed.

        :raises SerializationError: a value can't be saved; nothing was changed.
        """
        raise NotImplementedError

    def start_at(self, value: Any) -> bool:
        """Take this value for what is stored; False where the stored items can't be its."""
        raise NotImplementedError

    def complete(self, encoding: Encoding) -> None:
        """Encode those items in the tail of which only the keys were known.

        Whenever this fails, it can be called again.
        """
        chunked = self.chunked
        for key in [key for key, item in chunked.tail.items() if item is NOT_ENCODED]:
            self.put(key, encoding.value(self.value(key), self.path_to(key), None, nested="never"), encoding)
            chunked.hot.discard(key)

    def value(self, key: Key) -> Any:
        """The value of an item."""
        raise NotImplementedError

    def path_to(self, key: Key) -> str:
        """How messages name an item."""
        raise NotImplementedError

    def put(self, key: Key, data: Item, encoding: Encoding, *, place: Place | None = None) -> None:
        """Set an item of the stored mapping."""
        if type(data) is not bytes:
            self.prints.pop(key, None)
            if type(data) is Unkept and data.print:
                self.prints[key] = data.print
            self.chunked.put(key, data, place=place)
            return
        if self._compares and type(self.values) not in TRACKED:
            self.prints[key] = print_of(data)
        self.chunked.put(key, encoding.item(key, data), place=place)

    def remove(self, key: Key) -> None:
        """Remove an item of the stored mapping."""
        self.prints.pop(key, None)
        self.chunked.remove(key)


class FollowedMapping(Followed):
    """A mapping of names."""

    is_list = False

    def __init__(
        self, path: str, cache: FollowedCache, *, is_constant: bool = False, members: Collection[str] = ()
    ) -> None:
        super().__init__(path, cache, is_constant=is_constant)
        self._members = members
        """The keys of mappings whose items are encoded one by one."""
        self._moment: Moment | None = None
        """Stands for the version that the items are of, if they are of one."""

    def takes(self, value: Any) -> bool:
        return isinstance(value, Mapping)

    def follow(self, value: Any, encoding: Encoding) -> bool:
        if value is self.values and self.is_sure:
            return True
        tracked = value if type(value) in TRACKED else None
        was_sure, self.is_sure = self.is_sure, False
        changes = tracked.changes_since(self._moment) if tracked is not None and was_sure else None
        if changes is not None and not changes.removed and self._replace_in_tail(value, changes.put, encoding):
            return True
        if changes is None or len(value) == 1:
            if not are_names(value):
                return False
        elif (new := [key for key in changes.put if key not in self.chunked]) and not are_names(_and_another(new)):
            return False
        if tracked is not None and changes is not None:
            self._follow_changes(tracked, changes.put, changes.removed, encoding)
        else:
            self._compare(value, encoding, was_sure=was_sure)
        self._moment = tracked.moment if tracked is not None else None
        self.is_sure = True
        return True

    def start_at(self, value: Any) -> bool:
        if not self.takes(value) or len(value) != self.chunked.count or not all(key in self.chunked for key in value):
            return False
        self.values, self.is_sure = value, True
        self._moment = value.moment if isinstance(value, ItemMapping) else None
        return True

    def value(self, key: Key) -> Any:
        return self.values[key]

    def path_to(self, key: Key) -> str:
        return f"{self.path}[{key!r}]"

    def _replace_in_tail(self, values: ItemMapping, keys: Collection[str], encoding: Encoding) -> bool:
        """Encode what was put, and is small and in the place of what is in the tail; False where there is anything else."""
        chunked, new = self.chunked, []
        tail = chunked.tail
        for key in keys:
            if type(tail.get(key)) is not bytes or (item := encoding.small(key, values[key])) is None:
                return False
            new.append((key, item))
        for key, item in new:
            chunked.replace(key, item)
        self.values, self._moment, self.is_sure = values, values.moment, True
        return True

    def _follow_changes(
        self, values: ItemMapping, put: Collection[str], removed: Collection[str], encoding: Encoding
    ) -> None:
        chunked = self.chunked
        data = self._encoded([(key, values[key]) for key in put], encoding, anew=removed, is_compared=False)
        self.values = values
        for key in removed:
            if key in chunked:
                self.remove(key)
        for key, each in _taken_from(data):
            self.put(key, each, encoding)

    def _compare(self, value: Any, encoding: Encoding, *, was_sure: bool) -> None:
        new, old, chunked = _kept(value), self.values or {}, self.chunked
        before, shown = _kept(old), value.shown if isinstance(value, ItemMapping) else None
        unsure: Collection[Key] = () if was_sure else chunked.apart
        data = self._encoded(
            (
                (key, each if shown is None else shown(each))
                for key, each in new.items()
                if before.get(key, _NEW) is not each or key in unsure
            ),
            encoding,
        )
        self.values = value
        if type(value) in TRACKED:
            self.prints.clear()
        for key in before.keys() - new.keys():
            self.remove(key)
        unchanged = {key for key, each in data.items() if self._is_as_before(key, each, old, encoding)}
        known = [key for key in new if key in chunked]
        for key, each in _taken_from(data):
            if key not in unchanged:
                self.put(key, each, encoding)
        self._arrange(list(new), known, encoding)

    def _encoded(
        self,
        items: Iterable[tuple[str, Any]],
        encoding: Encoding,
        *,
        anew: Collection[str] = (),
        is_compared: bool = True,
    ) -> dict[str, Item]:
        data: dict[str, Item] = {}
        apart = self.chunked.apart
        if anew and apart:
            apart = {key: each for key, each in apart.items() if key not in anew}
        try:
            for key, value in items:
                each = encoding.value(
                    value, self.path_to(key), apart.get(key), nested="always" if key in self._members else "if large"
                )
                data[key] = held(each, encoding, is_compared=is_compared)
        except BaseException:
            encoding.discard(each for key, each in data.items() if each is not apart.get(key))
            raise
        return data

    def _is_as_before(self, key: str, data: Item, before: Mapping[str, Any], encoding: Encoding) -> bool:
        if not isinstance(data, bytes | Unkept) or key not in self.chunked:
            return False
        in_tail = self.chunked.tail.get(key)
        if in_tail is not None:
            return type(data) is bytes and in_tail == encoding.item(key, data)
        if key not in self.prints and key in before and type(self.values) not in TRACKED:
            self.prints[key] = print_of(encoding.value(before[key], self.path_to(key), None, nested="never"))
        return self.prints.get(key) == print_of(data)

    def _arrange(self, keys: Sequence[str], known: Sequence[str], encoding: Encoding) -> None:
        """Bring the items into the order of these keys, of which some were known before."""
        chunked = self.chunked
        if not chunked.chunks:
            if list(chunked.tail) != keys:
                chunked.reorder(keys)
            return
        old = [chunked.place(key) for key in keys]
        if all(one < other for one, other in pairwise(old)):  # type: ignore[operator]
            return
        is_known = set(known)
        new = arranged([place if key in is_known else None for key, place in zip(keys, old, strict=True)])
        for key, place, before in zip(keys, new, old, strict=True):
            if place == before:
                continue
            if key not in chunked.tail:
                data = encoding.value(self.values[key], self.path_to(key), None, nested="never")
                self.put(key, data, encoding, place=place)
            else:
                chunked.move(key, place)


class FollowedList(Followed):
    """A list. What it is stored as is a mapping of places."""

    is_list = True

    def __init__(self, path: str, cache: FollowedCache, *, is_constant: bool = False) -> None:
        super().__init__(path, cache, is_constant=is_constant)
        self.places: Sequence[Place] = ()
        """Those of its items."""

    def takes(self, value: Any) -> bool:
        return type(value) is list or type(value) is ItemList

    def follow(self, value: Any, encoding: Encoding) -> bool:
        if value is self.values:
            return True
        if type(value) is ItemList and (value.continues(self.values) or self._has_become(value)):
            self._extend(value, encoding)
        else:
            self._compare(value, encoding)
        return True

    def _add_places(self, new: range) -> None:
        places = self.places
        if not places:
            self.places = new
        elif type(places) is range and places.stop == new.start:
            self.places = range(places.start, new.stop)
        elif type(places) is list:
            places += new
        else:
            self.places = [*places, *new]

    def _has_become(self, value: ItemList) -> bool:
        """Whether a list has become an ``ItemList``: it begins with all items that there were."""
        return type(self.values) is list and self._same_at_start(value) == len(self.places)

    def _extend(self, value: ItemList, encoding: Encoding) -> None:
        start = len(self.places)
        data = self._encoded(value, range(start, len(value)), encoding, is_compared=False)
        self.values = value
        self.prints.clear()
        self.chunked.is_growing = not self.chunked.hot
        first = math.floor(self.places[-1]) + 1 if self.places else 0
        self._add_places(range(first, first + len(data)))
        for index, each in data.items():
            self.put(first + index - start, each, encoding)

    def _compare(self, value: Sequence[Any], encoding: Encoding) -> None:
        before = self.places
        start = self._same_at_start(value)
        end = self._same_at_end(value, start)
        data = self._encoded(value, range(start, len(value) - end), encoding)
        wanted = self._wanted(data, start, len(before) - end, encoding)
        wanted = [*before[:start], *wanted, *before[len(before) - end :]]
        places = arranged(wanted)
        moved = [index for index, place in enumerate(places) if wanted[index] != place]
        data |= self._encoded(value, [index for index in moved if index not in data], encoding)
        # Nothing below can fail.
        self.values, self.places = value, compact(places)
        if type(value) in TRACKED:
            self.prints.clear()
        for place in set(before).difference(places):
            self.remove(place)
        for index in moved:
            self.put(places[index], data[index], encoding)

    def start_at(self, value: Any) -> bool:
        if not self.takes(value) or len(value) != self.chunked.count:
            return False
        self.values, self.places = value, compact(sorted(self.chunked.keys()))  # type: ignore[arg-type]
        return True

    def value(self, key: Key) -> Any:
        return self.values[bisect_left(self.places, key)]

    def path_to(self, key: Key) -> str:
        return f"{self.path}[{bisect_left(self.places, key)}]"

    def _same_at_start(self, value: Sequence[Any]) -> int:
        """How many items at the start are the same objects as before."""
        count = 0
        for one, other in zip(value, self.values, strict=False):
            if one is not other:
                break
            count += 1
        return count

    def _same_at_end(self, value: Sequence[Any], start: int) -> int:
        most = min(len(value), len(self.places)) - start
        count = 0
        while count < most and value[-1 - count] is self.values[-1 - count]:
            count += 1
        return count

    def _encoded(
        self, value: Sequence[Any], indices: Iterable[int], encoding: Encoding, *, is_compared: bool = True
    ) -> dict[int, Item]:
        data: dict[int, Item] = {}
        try:
            for index in indices:
                each = encoding.value(value[index], f"{self.path}[{index}]", None, nested="never")
                data[index] = held(each, encoding, is_compared=is_compared)
        except BaseException:
            encoding.discard(data.values())
            raise
        return data

    def _wanted(self, data: Mapping[int, Item], start: int, end: int, encoding: Encoding) -> list[Place | None]:
        """For each of these items the place of one between the two that is encoded to the same bytes, if there is one."""
        places: dict[bytes, list[Place]] = {}
        for index in reversed(range(start, end)):
            places.setdefault(self._print_of(index, encoding), []).append(self.places[index])
        return [(found.pop() if (found := places.get(print_of(each))) else None) for each in data.values()]

    def _print_of(self, index: int, encoding: Encoding) -> bytes:
        place = self.places[index]
        if place not in self.prints:
            if place in self.chunked.apart:
                return b""
            data = encoding.value(self.values[index], f"{self.path}[{index}]", None, nested="never")
            self.prints[place] = print_of(data)
        return self.prints[place]


def _and_another(keys: Iterable[str]) -> dict[str, None]:
    """These keys, and another one, since there are others."""
    return dict.fromkeys(keys) | {"": None}


def _taken_from(data: dict[str, Item]) -> Iterator[tuple[str, Item]]:
    """Its items, each of which is gone from there then: all of them together may be as large as the state."""
    for key in [*data]:
        yield key, data.pop(key)


def _kept(values: Any) -> dict[str, Any]:
    return values.kept() if isinstance(values, ItemMapping) else values
