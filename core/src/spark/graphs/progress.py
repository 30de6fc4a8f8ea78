"""How far a run is, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass


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
