"""How far a run is, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class MapProgress(NamedTuple):
    """How far the maps over one edge are; several that are under way at the same time, as nested ones may be, count as one."""

    source: str
    """The key of the node whose output has the list."""
    node: str
    """The key of the node that runs for each item."""
    key: str
    """Where in the output the list is."""
    done: int
    """Items that have ended."""
    running: int
    """Items that are under way: started, and not ended."""
    waiting: int
    """Items that have not been started."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is right now."""

    iteration: int
    """Node executions completed since the run began, counted on across a resume."""
    last_node: str | None
    """The key of the node that completed last; None before the first."""
    running: tuple[str, ...]
    """The keys of the nodes that are being executed."""
    waiting: int
    """How many executions wait for their turn, or at a join."""
    checkpoint: int | None
    """The sequence of the graph's latest automatic checkpoint; None when there is none."""
    maps: tuple[MapProgress, ...] = ()
    """The maps that are under way."""
