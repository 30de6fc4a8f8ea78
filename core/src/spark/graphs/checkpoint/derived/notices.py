"""Within one process, a run that waits for a message hears of it at once: it need not look again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Final
from weakref import WeakSet


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


_LOCK: Final = Lock()
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
