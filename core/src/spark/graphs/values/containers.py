"""The engine's own containers, and what they are to everybody else."""

from __future__ import annotations

from typing import Any

from spark.graphs.values.item_list import ItemList
from spark.graphs.values.item_mapping import Captured, ItemMapping


class PlainDict(dict[str, Any]):
    """A dict of strings, small integers, booleans, None, and lists and dicts of those, whose keys don't look like a tag."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)  # for whoever copies or pickles it, it is a dict


def ordinary(value: Any) -> Any:
    """A value as users know it: the engine's own containers as the lists and dicts that they stand for."""
    kind = type(value)
    if kind is PlainDict:
        return dict(value)
    if kind is ItemList:
        return value[:]
    if kind is ItemMapping:
        return value.whole()
    if kind is Captured:
        return {key: ordinary(item) for key, item in value.items()}
    return value
