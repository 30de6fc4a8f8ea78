"""Events of commits that are not durable yet, in order."""

from __future__ import annotations

from collections import deque
from typing import Final

from spark.graphs.events.kinds import Event

MOST_HELD: Final = 50_000
"""Of more, the oldest are dropped: a run that never saves must not fill the memory because somebody watches it."""


class HeldEvents:
    """Keeps them until a checkpoint that holds their commits is durable."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._released = 0
        """How many were released or dropped."""

    def add(self, event: Event) -> Event | None:
        """Keep one more. Returns what has to be dropped for it, if anything."""
        self._events.append(event)
        if len(self._events) <= MOST_HELD:
            return None
        self._released += 1
        return self._events.popleft()

    def mark(self) -> int:
        """The place between the events up to now and those to come."""
        return self._released + len(self._events)

    def release(self, mark: int) -> list[Event]:
        """The events before this place, which are no longer kept."""
        count = max(0, mark - self._released)
        self._released += count
        return [self._events.popleft() for _ in range(count)]

    def clear(self) -> None:
        """Forget what is left: it never became durable."""
        self._released += len(self._events)
        self._events.clear()
