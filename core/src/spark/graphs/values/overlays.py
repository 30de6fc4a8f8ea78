"""Committed items together with those that a step is about to commit, as the step sees them: read-only, and without a copy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, overload


class ExtendedItems(Sequence[Any]):
    """A list with more items at its end. Neither ever changes.

    A slice of it is a list.
    """

    __slots__ = ("_added", "_items")

    def __init__(self, items: Sequence[Any], added: Sequence[Any]) -> None:
        self._items = items
        self._added = added

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        length = len(self._items)
        if not isinstance(place, slice):
            index = place if place >= 0 else len(self) + place
            if index < 0:
                raise IndexError(f"There are {len(self)} items, and none at {place}.")
            return self._items[index] if index < length else self._added[index - length]
        start, stop, step = place.indices(len(self))
        if step != 1:
            return [self[index] for index in range(start, stop, step)]
        return [*self._items[start:stop], *self._added[max(start - length, 0) : max(stop - length, 0)]]

    def __len__(self) -> int:
        return len(self._items) + len(self._added)

    def __iter__(self) -> Iterator[Any]:
        return chain(self._items, self._added)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequence) and not isinstance(other, str | bytes | tuple):
            return list(self) == list(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list has none

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> tuple[type, tuple[list[Any]]]:
        return list, (list(self),)


class ChangedItems(Mapping[Any, Any]):
    """A mapping without some of its items, and then with others. None of them ever changes."""

    __slots__ = ("_items", "_length", "_put", "_removed")

    def __init__(self, items: Mapping[Any, Any], put: Mapping[Any, Any], removed: Collection[Any]) -> None:
        self._items = items
        self._put = put
        self._removed = removed
        """A key that is here and in ``put`` is last."""
        gone = sum(key in items for key in removed)
        self._length = len(items) - gone + sum(key in removed or key not in items for key in put)

    def __getitem__(self, key: Any) -> Any:
        if key in self._put:
            return self._put[key]
        if key in self._removed:
            raise KeyError(key)
        return self._items[key]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        kept = {key: None for key in self._items if key not in self._removed}
        return iter(kept | dict.fromkeys(self._put))

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[type, tuple[dict[Any, Any]]]:
        return dict, (dict(self),)
