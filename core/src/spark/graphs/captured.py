"""Committed values at one moment, which know what changed since the moment before."""

from __future__ import annotations

from typing import Any


class Captured(dict[str, Any]):
    """The values of one scope of state, by reference. Never changed.

    Whoever has processed the capture that was taken before this one need look only at ``changed``.
    """

    __slots__ = ("before", "changed", "moment")

    moment: object
    """Stands for this capture."""
    before: object
    """Stands for the capture that was taken before this one, if any."""
    changed: list[str] | None
    """The keys with other values than in that one; None when there are other keys."""

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)  # for whoever copies or pickles it, it is a dict
