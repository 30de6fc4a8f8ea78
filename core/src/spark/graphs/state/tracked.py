"""A mapping that knows what was changed, so that a checkpoint costs what changed and not what exists."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar

from spark.graphs.values.containers import Captured

Value = TypeVar("Value")


class TrackedMapping(Generic[Value]):
    """Values by key, and which of them were put or removed since they were last captured.

    Nothing is tracked before the first capture, so that a run without checkpoints pays nothing for it.

    :param to_data: what stands for a value in captures; without it, the value itself, which is never changed in place then.
    """

    __slots__ = ("_changed", "_removed", "_to_data", "captured", "values")

    def __init__(self, to_data: Callable[[Value], Any] | None = None) -> None:
        self.values: dict[str, Value] = {}
        """To read; changed only by ``put`` and ``remove``."""
        self.captured: Captured | None = None
        """The last capture."""
        self._to_data = to_data
        self._changed: dict[str, None] = {}
        """What was put since, in order."""
        self._removed: dict[str, None] = {}
        """What is in the last capture and was removed since."""

    def put(self, key: str, value: Value) -> None:
        """Set a value, or say that this one was changed in place."""
        self.values[key] = value
        if self.captured is not None:
            self._changed[key] = None

    def remove(self, key: str) -> None:
        """Remove a key.

        :raises KeyError: it is not there.
        """
        del self.values[key]
        if self.captured is not None:
            self._changed.pop(key, None)
            if key in self.captured:
                self._removed[key] = None

    def stop_tracking(self) -> None:
        """Forget the last capture: the next one is a first one."""
        self.captured = None
        self._changed.clear()
        self._removed.clear()

    def changed_since(self, captured: Mapping[str, Any] | None) -> Collection[str]:
        """The keys whose values were put since a capture was taken; all of them where there is none.

        Of the last capture that is known. In an older one, values are looked for: those of a mapping without ``to_data`` are the
        same objects as long as they did not change.
        """
        if captured is None:
            return self.values.keys()
        if captured is self.captured:
            return self._changed.keys()
        return [key for key, value in self.values.items() if captured.get(key, self) is not value]

    def capture(self) -> Captured:
        """What it holds now; the very same object as last time when nothing was changed. Never change it."""
        last, changed, removed = self.captured, self._changed, self._removed
        if last is None:
            return self._capture_first()
        if not changed and not removed:
            return last
        values, to_data = self.values, self._to_data
        if to_data is None:
            captured = Captured(values)
        else:
            captured = Captured(last)
            for key in removed:
                del captured[key]
            for key in changed:
                captured[key] = to_data(values[key])
        captured.moment, captured.before = object(), last.moment
        captured.changed, captured.removed = changed, removed
        self.captured, self._changed, self._removed = captured, {}, {}
        return captured

    def _capture_first(self) -> Captured:
        values, to_data = self.values, self._to_data
        captured = Captured(values if to_data is None else {key: to_data(value) for key, value in values.items()})
        captured.moment, captured.before = object(), None
        captured.changed, captured.removed = values.copy(), ()
        self.captured = captured
        return captured
