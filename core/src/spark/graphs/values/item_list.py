"""A list whose versions share their items: what a list of the state becomes when something is appended to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Self, overload


class ItemList(Sequence[Any]):
    """One version of a list that grows. It never changes, and may be read in any thread while later versions are made.

    To others it is a list: it is equal to one, and is copied, pickled and shown as one. A slice of it is a list, too.

    :param items: the items of the first version. They are its own from now on.
    """

    __slots__ = ("_items", "_length")

    def __init__(self, items: list[Any]) -> None:
        self._items = items
        """Shared by all versions, each of which knows how many of them are its own."""
        self._length = len(items)

    def extended(self, items: Iterable[Any]) -> Self:
        """The version with these items at the end. Costs what is added; where another one continued from here, a copy."""
        shared = self._items
        if len(shared) != self._length:
            shared = shared[: self._length]
        shared.extend(items)
        return type(self)(shared)

    def continues(self, earlier: object) -> bool:
        """Whether this is that version, or a later one of it: then its first items are all of that one's."""
        return isinstance(earlier, ItemList) and earlier._items is self._items and earlier._length <= self._length

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return self._items[slice(*place.indices(self._length))] if place.step is None else list(self)[place]
        if not -self._length <= place < self._length:
            raise IndexError(f"There are {self._length} items, and none at {place}.")
        return self._items[place if place >= 0 else self._length + place]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return islice(self._items, self._length)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, list | ItemList):
            return len(other) == self._length and self[:] == other[:]
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list has none

    def __repr__(self) -> str:
        return repr(self[:])

    def __reduce__(self) -> tuple[type, tuple[list[Any]]]:
        return list, (self[:],)
