"""Is there so much to encode that it would hold up the event loop?"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

from spark.graphs.checkpoint.serialization.buffers import BUFFER_TYPES
from spark.graphs.checkpoint.serialization.classes.registered_types import registered_class
from spark.graphs.values.containers import PlainDict
from spark.graphs.values.item_list import ItemList
from spark.graphs.values.item_mapping import Captured, ItemMapping

_LIGHT_VALUES: Final = 2_000
"""About a millisecond's worth of small values."""
_LIGHT_BYTES: Final = 1_000_000
"""About a millisecond's worth of checksum."""
_TEXT_UNIT: Final = 256
"""As many characters take about as long to encode as one small value."""
_BYTES_UNIT: Final = _LIGHT_BYTES // _LIGHT_VALUES
"""As many bytes take about as long to hash as one small value to encode."""
_ENDLESS: Final = 20_000_000
_FEW: Final = 32
_OVER_AND_OVER: Final = 100
"""More values than that are endless, if there are this many times fewer."""


class CostExceededError(Exception):
    """There is more to encode than the event loop should wait for. Never seen by users."""


class CostBudget:
    """Adds up what one checkpoint has to encode, and stops it where that is more than about a millisecond's work."""

    __slots__ = ("_allowed",)

    def __init__(self, *, last_cost: int) -> None:
        """A budget for one checkpoint.

        :param last_cost: what composing the last checkpoint cost, in bytes that could have been hashed in the same time.
        :raises CostExceededError: it exceeds the budget alone.
        """
        if last_cost > _LIGHT_BYTES:
            raise CostExceededError
        self._allowed = _LIGHT_VALUES

    def add(self, value: Any) -> None:
        """Take the cost of encoding a value from the budget.

        :raises CostExceededError: less than that was left.
        """
        kind = type(value)
        if kind in _SINGLE:
            self._allowed -= 1
        elif kind is PlainDict or (kind is dict and _SINGLE.issuperset(map(type, value.values()))):
            self._allowed -= 1 + len(value)  # as what most nodes return
        else:
            self._allowed -= encoding_cost(value, limit=self._allowed)
        if self._allowed < 0:
            raise CostExceededError

    def add_bytes(self, size: int, *, again: int) -> None:
        """Take the cost of writing chunks of so many bytes, of which so many are encoded again.

        :raises CostExceededError: less than that was left.
        """
        self._allowed -= size // _BYTES_UNIT + again // _TEXT_UNIT
        if self._allowed < 0:
            raise CostExceededError

    def add_mapping(self, values: Mapping[str, Any]) -> None:
        """Take the cost of encoding a section, which often is a mapping of small mappings.

        :raises CostExceededError: less than that was left.
        """
        if type(values) is PlainDict:
            self._allowed -= len(values)
            return
        for value in values.values():
            if type(value) is dict:
                for each in value.values():
                    self.add(each)
            elif type(value) not in _SINGLE:
                self.add(value)


def encoding_cost(value: Any, *, limit: int) -> int:
    """About how many small values a value amounts to. It stops counting past the limit, even where a value contains itself."""
    total, pending = 0, [value]
    while pending and total <= limit:
        item = pending.pop()
        total += 1
        kind = type(item)
        if kind in _TEXTS:
            total += len(item) // _TEXT_UNIT
        elif kind in _MAPPINGS or kind in _COLLECTIONS:
            total += len(item)
            if total > limit:
                break
            pending += [part for part in (item.values() if kind in _MAPPINGS else item) if type(part) not in _SINGLE]
        elif (known := registered_class(kind)) is not None and known.nbytes is not None:
            total += known.nbytes(item) // _TEXT_UNIT
        else:
            parts = _attributes(item) or getattr(item, "__dict__", {}).values()
            total += len(parts)
            if total > limit:
                break
            pending += [part for part in parts if type(part) not in _SINGLE]
    return total


def exceeds(value: Any, size: float) -> bool:
    """Whether a value certainly takes more bytes than that. It looks no further than needed, even if a value contains itself."""
    pending = [value]
    while pending and size >= 0:
        item = pending.pop()
        kind = type(item)
        size -= 1
        if kind in _TEXTS:
            size -= len(item)
        elif kind in _MAPPINGS:
            pending += item.values()
        elif kind in _COLLECTIONS:
            pending += item
    return size < 0


def is_endless(value: Any) -> bool:
    """Whether it refers to the same parts so often that written down, each time anew, it would never end."""
    distinct = [0]
    try:
        written = _size(value, {}, distinct)
    except RecursionError:  # too deep to be written anyway
        return False
    return written > max(_ENDLESS, _OVER_AND_OVER * distinct[0])


def _size(item: Any, sizes: dict[int, int], distinct: list[int]) -> int:
    """How many values it has when each part is counted each time that it is met.

    :param distinct: adds up how many there are when each is counted once.
    """
    kind = type(item)
    if kind in _PLAIN:
        return 1
    parts = item.values() if kind in _MAPPINGS else item if kind in _COLLECTIONS else _attributes(item)
    count = len(parts)
    if count < _FEW and _PLAIN.issuperset(map(type, parts)):  # as most are
        distinct[0] += count
        return 1 + count
    if id(item) not in sizes:
        sizes[id(item)] = 1  # where it contains itself
        distinct[0] += count
        sizes[id(item)] += sum([_size(part, sizes, distinct) for part in parts])
    return sizes[id(item)]


def _attributes(item: Any) -> Collection[Any]:
    """What is written of an object, as far as it is known to refer to other values."""
    if isinstance(item, dict):
        return item.values()
    if isinstance(item, tuple | deque):
        return cast("Collection[Any]", item)
    kind = type(item)
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is None and not hasattr(kind, "__pydantic_fields__"):
        return ()
    if hasattr(item, "__dict__"):
        attributes: dict[str, Any] = vars(item)
        return attributes.values()
    return [getattr(item, name) for name in fields or () if hasattr(item, name)]


_SINGLE: Final = frozenset({int, float, bool, type(None)})
_TEXTS: Final = frozenset({str, *BUFFER_TYPES})
_PLAIN: Final = _SINGLE | _TEXTS
_MAPPINGS: Final = frozenset({dict, ItemMapping, Captured})
_COLLECTIONS: Final = frozenset({list, tuple, set, frozenset, ItemList})
