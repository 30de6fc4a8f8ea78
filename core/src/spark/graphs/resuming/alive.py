"""The graphs of this process: one that is restored may take the nodes of an earlier one with the same id."""

from __future__ import annotations

from itertools import count
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

G = TypeVar("G")


def remember(graph: Any) -> None:
    """Let a graph be found for as long as somebody uses it. Several may have the same id."""
    _ALIVE[next(_NUMBERS)] = graph


def newest(kind: type[G], graph_id: str) -> G | None:
    """The graph of this kind that was made last under an id, if it is still in use."""
    return next(
        (graph for graph in reversed(list(_ALIVE.values())) if graph.graph_id == graph_id and isinstance(graph, kind)),
        None,
    )


_ALIVE: Final[WeakValueDictionary[int, Any]] = WeakValueDictionary()
"""In the order in which they were made."""
_NUMBERS: Final = count()
