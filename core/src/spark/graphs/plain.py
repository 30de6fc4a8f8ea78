"""Data that the engine itself has made of plain values, so that nobody need look into it before it is written."""

from __future__ import annotations

from typing import Any


class PlainList(list[Any]):
    """A list of strings, small integers, booleans, None, and lists of those."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type, tuple[list[Any]]]:
        return list, (list(self),)  # for whoever copies or pickles it, it is a list


class PlainDict(dict[str, Any]):
    """A dict of strings, small integers, booleans and None, whose keys don't look like a tag."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)
