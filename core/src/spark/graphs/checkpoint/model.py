"""What a checkpoint is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from spark.errors import CheckpointDamagedError, SerializationError
from spark.graphs.checkpoint.ids import check_checkpoint_id, check_graph_id, check_stored_graph_id
from spark.graphs.checkpoint.links import linked_as
from spark.graphs.checkpoint.manual import RecordStore, save_checkpoint
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.sections import Section, sections_of
from spark.graphs.clock import SYSTEM_CLOCK, Clock
from spark.graphs.message import Interrupt, open_questions
from spark.graphs.values.snapshots import snapshot

if TYPE_CHECKING:
    from spark.graphs.checkpoint.pending import PendingWork

CURRENT_VERSION: Final = "1.0.0"
"""The checkpoint format version that this release writes: major.minor.patch.

A reader of the same major version understands it. Another major version needs a registered migration.
"""


@dataclass(slots=True, weakref_slot=True)
class GraphCheckpoint:
    """A complete snapshot of one graph at one boundary of a run: what it takes to continue from there.

    Each field that is a ``Section`` is stored, loaded, copied, compared and shown as its declaration says.
    """

    checkpoint_id: str
    """Unique in its store. A run derives it from graph id and sequence; by hand it is whatever you like."""
    graph_id: str
    """The graph it belongs to."""
    timestamp: datetime
    """When it was made. Naive datetimes mean local time and come back naive."""
    graph_state: dict[str, Any] = field(default_factory=dict, metadata=Section(is_keyed=True).declared())
    """The shared state: key to value."""
    node_states: dict[str, Any] = field(default_factory=dict, metadata=Section(is_keyed=True).declared())
    """Node key to that node's own state, key to value."""
    execution_metadata: dict[str, Any] = field(default_factory=dict, metadata=Section().declared())
    """``iteration``, ``last_node``, ``run_id``, ``reason``, and under ``metadata`` what the user added."""
    config: dict[str, Any] = field(default_factory=dict, metadata=Section(is_constant=True).declared())
    """The graph's configuration and the run's inputs."""
    version: str = CURRENT_VERSION
    """The format version it was written in."""
    topology: dict[str, Any] | None = field(default=None, metadata=Section(is_constant=True, is_shown=False).declared())
    """The nodes and edges of the graph, as plain values; None in a checkpoint made by hand."""
    frontier: dict[str, Any] | None = field(
        default=None, metadata=Section(members=("tokens", "contents", "result", "journal", "inbox")).declared()
    )
    """The work that was pending, as plain values; None in a checkpoint made by hand."""
    sequence: int | None = None
    """Its place in the history of its graph; None until it is saved."""
    parent: int | None = None
    """The sequence of the checkpoint that the run continued from or wrote before this one."""
    origin: str | None = None
    """Of a fork's first checkpoint: the id of the checkpoint that it was forked from."""
    is_raw: bool = field(default=False, kw_only=True, compare=False, repr=False)
    """It was loaded with ``raw=True``, to be looked at: objects are ``RawObject``s, and no run can be resumed from it."""
    damaged: dict[str, str] = field(default_factory=dict, kw_only=True, compare=False, repr=False)
    """Of one that was loaded raw: what of it can't be read, by its path, and why. The rest of it is there."""

    def __post_init__(self) -> None:
        check_checkpoint_id(self.checkpoint_id)
        check_stored_graph_id(self.graph_id)

    async def save(self, backend: RecordStore) -> CheckpointInfo:
        """Store this checkpoint durably, replacing one with the same id, and say where it went.

        A checkpoint saved by hand is exempt from automatic clean-up.

        :raises SerializationError: a value can't be saved; nothing was written.
        :raises CheckpointConflictError: the id belongs to a checkpoint of another graph.
        :raises BackendError: the storage failed.
        """
        if self.is_raw:
            raise SerializationError(
                f"Checkpoint {self.checkpoint_id!r} was loaded with raw=True, so its objects are not those that were saved. Load "
                "it without raw=True to save it. Nothing was written."
            )
        return await save_checkpoint(self, backend)

    def interrupts(self) -> tuple[Interrupt, ...]:
        """The questions that its run waits to have answered, in the order in which they were asked.

        :raises CheckpointDamagedError: its pending work is not what a run would write.
        """
        if self.frontier is None:
            return ()
        try:
            return open_questions(self.frontier)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise CheckpointDamagedError(
                f"Checkpoint {self.checkpoint_id!r} of graph {self.graph_id!r} has an invalid frontier: its questions can't be "
                "read. An earlier checkpoint of this graph may be intact: list them, and load one of those."
            ) from error

    def pending(self) -> PendingWork:
        """What is left to do: the pending steps, one by one or in groups, what they wait for, and how far maps are.

        What can't be read of it is left out.
        """
        from spark.graphs.checkpoint.pending import PendingWork

        return PendingWork(self.frontier, self.topology)

    def isolated(self) -> GraphCheckpoint:
        """A copy that shares nothing mutable with this one."""
        copies = {name: snapshot(getattr(self, name), path=name) for name in SECTIONS}
        return linked_as(self, replace(self, **copies))

    def fork(self, graph_id: str, *, checkpoint_id: str | None = None, clock: Clock = SYSTEM_CLOCK) -> GraphCheckpoint:
        """The same snapshot as the beginning of another graph id, naming this one as its origin.

        Messages that were sent to this graph are not sent to the other one.
        """
        fork = self.isolated()
        if fork.frontier is not None:
            fork.frontier.pop("inbox", None)  # what was received of this graph's messages
        fork.execution_metadata.pop("aside", None)  # what is said there of its branches
        fork.checkpoint_id = check_checkpoint_id(checkpoint_id or f"fork_{graph_id}")
        fork.graph_id = check_graph_id(graph_id)
        fork.timestamp = clock.utc_now()
        fork.sequence = fork.parent = None
        fork.origin = self.checkpoint_id
        return fork


SECTIONS: Final = sections_of(GraphCheckpoint)
"""The sections of a checkpoint by their names. Whatever encodes, reads, copies, compares or shows checkpoints goes by this."""
FACTS: Final[dict[str, type]] = {"timestamp": datetime, "origin": str}
"""What is stored beside the sections, where a record's header has no place for it: the exact type of each."""


def facts_of(timestamp: datetime, origin: str | None) -> dict[str, Any]:
    """Those of them that a record's header has no place for."""
    is_in_header = type(timestamp) is datetime and timestamp.tzinfo is UTC
    facts: dict[str, Any] = {} if is_in_header else {"timestamp": timestamp}
    return facts if origin is None else facts | {"origin": origin}
