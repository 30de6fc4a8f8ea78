"""Which of the messages that were sent to a graph its runs have received."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spark.graphs.values.item_mapping import Captured
from spark.graphs.values.tracked import TrackedMapping

_UP_TO: Final = "up_to"
_COUNT: Final = "count"


class Received:
    """All messages up to a sequence, but for those that nobody has waited for yet."""

    __slots__ = ("_table", "left")

    def __init__(self) -> None:
        self.left: dict[int, str] = {}
        """Those, by sequence, and what each is about."""
        self._table: TrackedMapping[int | str] = TrackedMapping()

    def __bool__(self) -> bool:
        return bool(self._table.values)

    @property
    def up_to(self) -> int:
        """The highest sequence that was looked at when a message was received last; 0 before the first."""
        return self._table.values.get(_UP_TO, 0)  # type: ignore[return-value]

    @property
    def count(self) -> int:
        """How many were received."""
        return self._table.values.get(_COUNT, 0)  # type: ignore[return-value]

    def add(self, sequence: int, *, seen: Mapping[int, str], up_to: int) -> None:
        """A message was received.

        :param seen: what was looked at since the last one was received, and what each is about.
        :param up_to: the highest sequence that was looked at.
        """
        for number, topic in seen.items():
            self.left[number] = topic
            self._table.put(str(number), topic)
        self._table.put(_UP_TO, up_to)
        self._table.put(_COUNT, self.count + 1)
        self.drop(sequence)

    def drop(self, sequence: int) -> None:
        """A message that nobody has waited for is not there any more."""
        del self.left[sequence]
        self._table.remove(str(sequence))

    def begin_anew(self) -> None:
        """They are those of another inbox: none of those that are there was received."""
        self.left.clear()
        for key in [*self._table.values]:
            self._table.remove(key)

    def capture(self) -> Captured:
        """All of it as plain data. Never change what is in there."""
        return self._table.capture()

    def load(self, data: Mapping[str, Any]) -> None:
        """Become what ``capture`` described.

        :raises ValueError: ``capture`` never gave this.
        """
        for key, value in data.items():
            self._table.put(key, value)
            if key not in (_UP_TO, _COUNT):
                self.left[int(key)] = value


def is_received(data: Mapping[str, Any]) -> bool:
    """Whether ``capture`` may have given this."""
    up_to, count = data.get(_UP_TO), data.get(_COUNT)
    if type(up_to) is not int or type(count) is not int or not 1 <= count <= up_to:
        return False
    left = {key: value for key, value in data.items() if key not in (_UP_TO, _COUNT)}
    return all(
        type(value) is str and key.isdecimal() and len(key) < 20 and str(int(key)) == key and 1 <= int(key) <= up_to
        for key, value in left.items()
    )
