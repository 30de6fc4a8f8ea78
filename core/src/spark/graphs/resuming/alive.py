"""The graphs of this process: one that is restored may take the nodes of an earlier one with the same id."""

from __future__ import annotations

from itertools import count
from typing import Final, Protocol, TypeVar
from weakref import WeakValueDictionary


class Named(Protocol):
    """A graph, as it is looked up."""

    @property
    def graph_id(self) -> str: ...


G = TypeVar("G", bound=Named)


def remember(graph: Named) -> None:
    """Let a graph be found for as long as somebody uses it. Several may have the same id."""
    _ALIVE[next(_NUMBERS)] = graph


def newest(kind: type[G], graph_id: str) -> G | None:
    """The graph of this kind that was made last under an id, if it is still in use."""
    return next(
        (graph for graph in reversed(list(_ALIVE.values())) if graph.graph_id == graph_id and isinstance(graph, kind)),
        None,
    )


_ALIVE: Final[WeakValueDictionary[int, Named]] = WeakValueDictionary()
"""In the order in which they were made."""
_NUMBERS: Final = count()
