"""What runs of one process and others in it tell one another: that a message was sent, and who leads which history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Final, Protocol
from weakref import WeakSet, ref

from spark.graphs.checkpoint.records.record import RecordHeader


class Listener:
    """Calls a function in the event loop that it was made in, when a message was sent to a graph. Nothing else keeps it alive."""

    __slots__ = ("__weakref__", "_call", "_graph_id", "_loop")

    def __init__(self, graph_id: str, call: Callable[[], None]) -> None:
        self._graph_id = graph_id
        self._call = call
        self._loop = asyncio.get_running_loop()
        with _LOCK:
            _LISTENERS.setdefault(graph_id, WeakSet()).add(self)

    def hear(self) -> None:
        """A message was sent, from any thread."""
        with suppress(RuntimeError):  # its event loop is closed
            self._loop.call_soon_threadsafe(self._call)

    def close(self) -> None:
        """It need not hear of any more."""
        with _LOCK:
            listeners = _LISTENERS.get(self._graph_id)
            if listeners is not None:
                listeners.discard(self)
                if not listeners:
                    del _LISTENERS[self._graph_id]


class Leader(Protocol):
    """What leads a history: the ``History`` of a run that is under way."""

    @property
    def graph_id(self) -> str: ...

    def leads(self, header: RecordHeader) -> bool: ...


def lead(leader: Leader) -> None:
    """A run is under way that is to continue a history."""
    with _LOCK:
        _LEADERS.setdefault(leader.graph_id, []).append(ref(leader))


def stop_leading(leader: Leader) -> None:
    """It has ended."""
    with _LOCK:
        left = [each for each in _LEADERS.pop(leader.graph_id, ()) if each() not in (None, leader)]
        if left:
            _LEADERS[leader.graph_id] = left


def is_led_here(latest: RecordHeader) -> bool:
    """Whether a run of this process continues the record with this header, the latest of its graph."""
    with _LOCK:
        leaders = [each() for each in _LEADERS.get(latest.graph_id, ())]
    return any(leader is not None and leader.leads(latest) for leader in leaders)


_LOCK: Final = Lock()
_LEADERS: Final[dict[str, list[ref[Leader]]]] = {}
"""By graph id. A run that could not begin does not say that it has ended, so these keep nobody alive."""
_LISTENERS: Final[dict[str, WeakSet[Listener]]] = {}
"""By graph id. Which store a message went to is not asked: whoever hears of one looks into their own."""


def notify(graph_id: str) -> None:
    """A message was sent to this graph."""
    with _LOCK:
        listeners = [*_LISTENERS.get(graph_id, ())]
        if not listeners:
            _LISTENERS.pop(graph_id, None)
    for listener in listeners:
        listener.hear()
