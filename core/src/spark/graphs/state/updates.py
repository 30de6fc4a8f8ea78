"""What a step does to a value whatever it is at the commit: applied then, in commit order, so that it never conflicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias

from spark.graphs.values.failures import add_note
from spark.graphs.values.item_list import ItemList
from spark.graphs.values.item_mapping import ItemMapping
from spark.graphs.values.overlays import ChangedItems, ExtendedItems
from spark.graphs.values.snapshots import snapshot


class Absent(Enum):
    """Stands for a value that is not there. The same object wherever it is sent."""

    MISSING = "missing"
    DELETED = "deleted"


MISSING: Final = Absent.MISSING
DELETED: Final = Absent.DELETED

Function: TypeAlias = Callable[[Any], Any]

_LISTS: Final = frozenset({list, ItemList, ExtendedItems})
_DICTS: Final = frozenset({dict, ItemMapping, ChangedItems})


class Update(ABC):
    """One update of the value of one key, or several of the same kind."""

    __slots__ = ("key", "times")

    is_raw = False
    """What it makes is not a snapshot yet."""
    makes_value = True
    """It leaves a value where there was none."""
    kinds: frozenset[type] | None = None
    """The types of the values that it can update; None for all."""
    use = ""
    """What it is for, as part of a message."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.times = 1
        """How many times the step has done this."""

    @abstractmethod
    def seen(self, value: Any, label: str) -> Any:
        """The value with this update, for the step that makes it. What it is given is neither changed nor copied.

        :param value: ``MISSING`` where there is none.
        :param label: how messages name the state that the key is in.
        :raises TypeError: the value is of a kind that can't be updated so.
        """

    def check(self, value: Any, label: str) -> None:
        """Refuse a value of a kind that can't be updated so.

        :raises TypeError: it is of such a kind.
        """
        if self.kinds is not None and value is not MISSING and type(value) not in self.kinds:
            raise TypeError(
                f"{label}[{self.key!r}] is a {kind_of(value)}, but {self.use}. Set one under this key first, use another "
                f"key, or change the value with update({self.key!r}, function)."
            )

    @abstractmethod
    def committed(self, value: Any, label: str) -> Any:
        """The value with this update, to be kept. The one that it is given is not changed."""

    @abstractmethod
    def to_data(self, described: Callable[[Function], Any]) -> list[Any]:
        """It as plain values, which ``update_from`` takes.

        :param described: makes plain values of a function.
        """

    def join(self, later: Update) -> bool:
        """Take over an update that is made directly after this one; False where they stay two."""
        return False


class FunctionUpdate(Update):
    """``update``: the value is replaced by what a function makes of it.

    :param default: stands in for a missing value.
    """

    __slots__ = ("_default", "_function")

    is_raw = True

    def __init__(self, key: str, function: Function, default: Any) -> None:
        super().__init__(key)
        self._function = function
        self._default = default

    def seen(self, value: Any, label: str) -> Any:
        try:
            result = self._function(snapshot(self._default if value is MISSING else value))
        except Exception as error:
            add_note(error, f"raised by the function that was given to update({self.key!r}, …).")
            raise
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            raise TypeError(
                f"update({self.key!r}, …) takes a plain function, not an async one: it is applied at the commit."
            )
        return result

    committed = seen

    def to_data(self, described: Callable[[Function], Any]) -> list[Any]:
        default = [] if self._default is MISSING else [self._default]
        return [_FUNCTION, described(self._function), default]


class AddedItems(Update):
    """``append`` and ``extend``: a list gets these items at its end."""

    __slots__ = ("_items",)

    kinds = _LISTS
    use = "append() and extend() add to a list"

    def __init__(self, key: str, items: list[Any]) -> None:
        super().__init__(key)
        self._items = ItemList(items)

    def seen(self, value: Any, label: str) -> Any:
        self.check(value, label)
        return self._items if value is MISSING else ExtendedItems(value, self._items)

    def committed(self, value: Any, label: str) -> Any:
        self.check(value, label)
        if value is MISSING:
            return self._items
        return value.extended(self._items) if type(value) is ItemList else ItemList([*value, *self._items])

    def to_data(self, described: Callable[[Function], Any]) -> list[Any]:
        return [_ITEMS, [*self._items]]

    def join(self, later: Update) -> bool:
        if not isinstance(later, AddedItems):
            return False
        self._items = self._items.extended(later._items)
        self.times += later.times
        return True


class SetItems(Update):
    """``set_item`` and ``delete_item``: a dict loses some items and then gets others.

    :param put: it is this one's own from now on.
    :param removed: keys to remove, where they are there.
    """

    __slots__ = ("_put", "_removed", "makes_value")

    kinds = _DICTS
    use = "set_item() and delete_item() change items of a dict"

    def __init__(self, key: str, *, put: dict[Any, Any] | None = None, removed: Iterable[Any] = ()) -> None:
        super().__init__(key)
        self._put = put or {}
        self._removed = dict.fromkeys(removed)
        self.makes_value = bool(put)

    def seen(self, value: Any, label: str) -> Any:
        self.check(value, label)
        if value is MISSING:
            return ItemMapping(dict(self._put)) if self.makes_value else MISSING
        return ChangedItems(value, dict(self._put), frozenset(self._removed))

    def committed(self, value: Any, label: str) -> Any:
        self.check(value, label)
        if value is MISSING:
            return ItemMapping(dict(self._put)) if self.makes_value else MISSING
        removed = [key for key in self._removed if key in value]
        if not removed and not self._put:
            return value
        return (value if type(value) is ItemMapping else ItemMapping(dict(value))).changed(self._put, removed)

    def to_data(self, described: Callable[[Function], Any]) -> list[Any]:
        return [_MEMBERS, self._put, [*self._removed]]

    def join(self, later: Update) -> bool:
        if not isinstance(later, SetItems):
            return False
        for key in later._removed:
            self._put.pop(key, None)
            self._removed[key] = None
        self._put.update(later._put)
        self.makes_value = self.makes_value or later.makes_value
        self.times += later.times
        return True


_FUNCTION, _ITEMS, _MEMBERS = "function", "items", "members"


def update_from(key: str, data: list[Any], function: Callable[[Any], Function]) -> Update:
    """The update of a key that ``to_data`` described.

    :param function: makes a function of what described it.
    """
    kind, *parts = data
    if kind == _ITEMS:
        return AddedItems(key, parts[0])
    if kind == _MEMBERS:
        return SetItems(key, put=parts[0], removed=parts[1])
    return FunctionUpdate(key, function(parts[0]), parts[1][0] if parts[1] else MISSING)


def items_of(key: str, given: Any) -> list[Any]:
    """What is to be added to the list under this key.

    :raises TypeError: it is one value, and no items.
    """
    if type(given) in (tuple, list):
        return [*given]
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise TypeError(
            f"extend({key!r}, …) takes a list of items, or another iterable, not a {kind_of(given)}. To add it as one item, "
            f"write append({key!r}, …)."
        )
    return [*given]


def is_list(value: Any) -> bool:
    """Whether it is a list, as steps see it."""
    return type(value) in _LISTS


def kind_of(value: Any) -> str:
    """What users call the type of a value."""
    return "list" if type(value) in _LISTS else "dict" if type(value) in _DICTS else type(value).__name__
