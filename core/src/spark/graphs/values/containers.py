"""The engine's own containers: lists and dicts that carry facts about their content, which saves work."""

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


class Captured(dict[str, Any]):
    """The values of one scope of state, by reference. Never changed.

    Whoever has processed the capture that was taken before this one need look only at ``changed``.
    """

    __slots__ = ("before", "changed", "moment")

    moment: object
    """Identifies this capture."""
    before: object
    """Identifies the capture that was taken before this one, if any."""
    changed: list[str] | None
    """The keys with other values than in that one; None when there are other keys."""

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)  # for whoever copies or pickles it, it is a dict


def ordinary(value: Any) -> Any:
    """A value as users know it: the engine's own containers as the list or dict that they are."""
    kind = type(value)
    if kind is PlainList:
        return list(value)
    return dict(value) if kind is Captured or kind is PlainDict else value
