"""The engine's own containers: dicts that carry facts about their content, which saves work."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


class PlainDict(dict[str, Any]):
    """A dict of strings, small integers, booleans, None, and lists and dicts of those, whose keys don't look like a tag."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)  # for whoever copies or pickles it, it is a dict


class Captured(dict[str, Any]):
    """What a tracked mapping held at one moment, by reference. Never changed.

    Whoever has processed the capture that was taken before this one need only remove ``removed`` and then put ``changed``.
    """

    __slots__ = ("before", "changed", "moment", "removed")

    moment: object
    """Stands for this capture."""
    before: object
    """Stands for the capture that was taken before this one, if any."""
    changed: Collection[str]
    """The keys that were put since, in order, so that new ones are at the end; of a first capture, all keys."""
    removed: Collection[str]
    """The keys of the capture before that were removed since. One that was put again later is in ``changed``, too."""

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)  # as above


def ordinary(value: Any) -> Any:
    """A value as users know it: the engine's own containers as the dict that they are."""
    kind = type(value)
    return dict(value) if kind is Captured or kind is PlainDict else value
