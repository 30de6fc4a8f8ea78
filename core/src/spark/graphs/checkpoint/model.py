"""What a checkpoint is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from spark.graphs.checkpoint.ids import check_checkpoint_id, check_graph_id
from spark.graphs.checkpoint.manual import RecordStore, Told, save_checkpoint
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.clock import SYSTEM_CLOCK, Clock
from spark.graphs.values.snapshots import snapshot

CURRENT_VERSION: Final = "1.0.0"
"""The checkpoint format version that this release writes: major.minor.patch.

A reader of the same major version understands it. Another major version needs a registered migration.
"""


@dataclass(slots=True)
class GraphCheckpoint:
    """A complete snapshot of one graph at one boundary of a run: what it takes to continue from there."""

    checkpoint_id: str
    """Unique in its store. A run derives it from graph id and sequence; by hand it is whatever you like."""
    graph_id: str
    """The graph it belongs to."""
    timestamp: datetime
    """When it was made. Naive datetimes mean local time and come back naive."""
    graph_state: dict[str, Any] = field(default_factory=dict)
    """The shared state: key to value."""
    node_states: dict[str, Any] = field(default_factory=dict)
    """Node key to that node's own state, key to value."""
    execution_metadata: dict[str, Any] = field(default_factory=dict)
    """``iteration``, ``last_node``, ``run_id``, ``reason``, and under ``metadata`` what the user added."""
    config: dict[str, Any] = field(default_factory=dict)
    """The graph's configuration, as plain values."""
    version: str = CURRENT_VERSION
    """The format version it was written in."""
    topology: dict[str, Any] | None = None
    """The nodes and edges of the graph, as plain values; None in a checkpoint made by hand."""
    frontier: dict[str, Any] | None = None
    """The work that was pending, as plain values; None in a checkpoint made by hand."""
    sequence: int | None = None
    """Its place in the history of its graph; None until it is saved."""
    parent: int | None = None
    """The sequence of the checkpoint that the run continued from or wrote before this one."""
    origin: str | None = None
    """Of a fork's first checkpoint: the id of the checkpoint that it was forked from."""
    source: Any = field(default=None, repr=False, compare=False)
    """The backend that it was loaded from or saved to. Never stored."""
    observers: Told | None = field(default=None, repr=False, compare=False)
    """Who is told when it is saved. Never stored."""

    def __post_init__(self) -> None:
        check_checkpoint_id(self.checkpoint_id)
        check_graph_id(self.graph_id)

    async def save(self, backend: RecordStore) -> CheckpointInfo:
        """Store this checkpoint durably, replacing one with the same id, and say where it went.

        A checkpoint saved by hand is exempt from automatic clean-up.

        :raises SerializationError: a value can't be saved; nothing was written.
        :raises CheckpointConflictError: the id belongs to a checkpoint of another graph.
        :raises BackendError: the storage failed.
        """
        return await save_checkpoint(self, backend)

    def isolated(self) -> GraphCheckpoint:
        """A copy that shares nothing mutable with this one."""
        return replace(self, **{name: snapshot(getattr(self, name), path=name) for name in _CONTENT})

    def fork(self, graph_id: str, *, checkpoint_id: str | None = None, clock: Clock = SYSTEM_CLOCK) -> GraphCheckpoint:
        """The same snapshot as the beginning of another graph id, naming this one as its origin."""
        return replace(
            self,
            checkpoint_id=checkpoint_id or f"fork_{graph_id}",
            graph_id=graph_id,
            timestamp=clock.utc_now(),
            sequence=None,
            parent=None,
            origin=self.checkpoint_id,
        ).isolated()


_CONTENT: Final = ("graph_state", "node_states", "execution_metadata", "config", "topology", "frontier")
