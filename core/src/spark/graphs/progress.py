"""How far a run is, for whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class MapProgress(NamedTuple):
    """How far the maps over one edge are. Maps within a map count as one: all that its items have come to by now."""

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

    @property
    def total(self) -> int:
        """All items."""
        return self.done + self.running + self.waiting


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is now. Each pending execution is counted in one place: running, waiting, suspended, or at a join."""

    iteration: int
    """Completed node executions since the run began, counted across resumes."""
    last_node: str | None
    """The key of the node that completed last; None before the first."""
    running: tuple[str, ...]
    """The keys of the nodes that are being executed."""
    waiting: int
    """How many executions are ready and wait for their turn, including items of maps that have not been started."""
    checkpoint: int | None
    """The sequence of the graph's latest automatic checkpoint; None when there is none."""
    maps: tuple[MapProgress, ...] = ()
    """The maps that are under way."""
    suspended: int = 0
    """How many executions wait for something outside."""
    waits: Mapping[str, int] = field(default_factory=dict)
    """For what they wait: ``"question"``, ``"signal"``, ``"timer"`` or ``"retry"``, to how many waits."""
    at_joins: int = 0
    """How many outputs have arrived at a join, and wait there for others."""
