"""A mapping that knows what was changed, so that a checkpoint costs what changed and not what exists."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar

from spark.graphs.values.item_mapping import Captured, Shown

Value = TypeVar("Value")


class TrackedMapping(Generic[Value]):
    """Values by key, and which of them were put or removed since they were last captured.

    Nothing is tracked before the first capture, so that a run without checkpoints pays nothing for it. What is tracked takes
    room in proportion to what differs from the last capture, however much happened since.

    :param to_data: what stands for a value in captures; without it, the value itself, which is never changed in place then.
    :param shown: what readers of captures get instead of that; without it, that itself.
    """

    __slots__ = ("_changed", "_removed", "_shown", "_to_data", "captured", "values")

    def __init__(self, to_data: Callable[[Value], Any] | None = None, *, shown: Shown | None = None) -> None:
        self.values: dict[str, Value] = {}
        """To read; changed only by ``put`` and ``remove``."""
        self.captured: Captured | None = None
        """The last capture."""
        self._to_data = to_data
        self._shown = shown
        self._changed: dict[str, bool] = {}
        """What was put since, in order, and whether it is in the last capture or was removed since."""
        self._removed: dict[str, None] = {}
        """What is in the last capture and was removed since."""

    def put(self, key: str, value: Value) -> None:
        """Set a value, or say that this one was changed in place."""
        if self.captured is not None and key not in self._changed:
            self._changed[key] = key in self.values
        self.values[key] = value

    def remove(self, key: str) -> None:
        """Remove a key.

        :raises KeyError: it is not there.
        """
        del self.values[key]
        if self.captured is not None and self._changed.pop(key, True):
            self._removed[key] = None

    def stop_tracking(self) -> None:
        """Forget the last capture: the next one is a first one."""
        self.captured = None
        self._changed.clear()
        self._removed.clear()

    def changed_since(self, captured: Mapping[str, Any] | None) -> Collection[str]:
        """The keys whose values were put since a capture was taken; all of them where there is none.

        Where that is not known, values are looked for: those of a mapping without ``to_data`` are the same objects as long as
        they did not change.
        """
        last = self.captured
        if captured is None:
            return self.values.keys()
        if captured is last:
            return self._changed.keys()
        if last is not None and isinstance(captured, Captured) and (changes := last.changes_since(captured.moment)):
            return {*changes.put, *self._changed} & self.values.keys()
        return [key for key, value in self.values.items() if captured.get(key, self) is not value]

    def capture(self) -> Captured:
        """What it holds now; the very same object as last time when nothing was changed."""
        last, changed, removed = self.captured, self._changed, self._removed
        values, to_data = self.values, self._to_data
        if last is None:
            whole = values.copy() if to_data is None else {key: to_data(value) for key, value in values.items()}
            self.captured = Captured(whole, self._shown)
            return self.captured
        if not changed and not removed:
            return last
        put = {}
        for key in changed:
            put[key] = values[key] if to_data is None else to_data(values[key])
        self.captured, self._changed, self._removed = last.changed(put, removed), {}, {}
        return self.captured
