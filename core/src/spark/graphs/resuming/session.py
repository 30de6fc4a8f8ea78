"""What a graph keeps from one run to the next: its state, what the next run begins with, and what no checkpoint holds yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spark.errors import GraphDefinitionError, GraphRestoreError, RunError
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.migrations import migrated
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.recording.capture import Capture, CapturedSections
from spark.graphs.checkpoint.recording.continuation import LoadedRecord
from spark.graphs.checkpoint.serialization.classes.sameness import is_same
from spark.graphs.resuming.comparison import differing_names
from spark.graphs.resuming.inherited import received_before
from spark.graphs.resuming.origin import Origin, PendingRun, look_up
from spark.graphs.resuming.renaming import check_rename
from spark.graphs.resuming.restore import fitted
from spark.graphs.resuming.validation import validated
from spark.graphs.state.transactions import StateStore

if TYPE_CHECKING:
    from spark.graphs.checkpoint.encoding.decoder import StoredLayout
    from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
    from spark.graphs.checkpoint.recording.continuation import Continuation
    from spark.graphs.checkpoint.recording.recorder import Recorder
    from spark.graphs.checkpoint.storage.backend import CheckpointBackend
    from spark.graphs.definition.topology import Topology
    from spark.graphs.message import Message
    from spark.graphs.resuming.origin import Resume
    from spark.graphs.values.snapshots import Check


class GraphSession:
    """The committed state of a graph, and where its next run begins."""

    def __init__(self, given: Origin) -> None:
        self.state: StateStore
        """The committed shared state."""
        self.node_states: dict[str, StateStore]
        """The committed state of each node."""
        self.given: Origin = given
        """What the graph was made from, with later edits: a run that is resumed and finds no checkpoint begins with it."""
        self.next: Origin = Origin()
        """What the next run begins with, unless it is told to resume."""
        self.edits: dict[str, Any] = {}
        """Values that were set between runs and that no checkpoint holds yet."""
        self.stored: Continuation | None = None
        """How the latest record is stored that has this state, as far as the next run can continue from there."""
        self.paused: PendingRun | None = None
        """The last run of a graph without checkpoints, if it has returned before it was complete."""
        self.begin_at(given)
        if given.checkpoint is None:
            self.next = Origin()

    def set_node_states(self, stores: Mapping[str, StateStore], *, check: Check | None) -> None:
        """Begin with copies of these states of nodes.

        :raises SerializationError: one can't be saved.
        """
        states = {key: StateStore(store.label, store.values, check=check).values for key, store in stores.items()}
        self.given.node_states = states
        self.node_states = {key: StateStore(store.label, states[key]) for key, store in stores.items()}

    def edit(self, key: str, value: Any) -> None:
        """Set a value of the shared state between runs."""
        self.state.apply({key: value}, writer="set_state")
        self.edits[key] = value
        for origin in (self.given, self.next):
            origin.set(key, value)

    async def choose_origin(self, resume: Resume, stored: StoredCheckpoints) -> Origin:
        """Where a run begins; nothing is changed yet.

        :param resume: what ``run`` was given.
        :raises RunError: something that only this graph holds would be lost; says what to do.
        """
        if resume is False:
            return self.next
        if isinstance(resume, Mapping):
            resume = True
        if isinstance(resume, GraphCheckpoint):
            origin = stored.origin_at(resume.isolated())
        elif self.next.checkpoint is not None or self.given.pending is not None:
            stored.check_not_renamed()
            # A run that was interrupted before anything was saved began with what was given.
            origin = self.next if self.next.checkpoint is not None else self.given
        elif self.paused is not None and stored.backend is None:
            stored.check_not_renamed()
            origin = Origin(pending=self.paused)
        else:
            self.stored = None  # if this fails, what it refers to may be damaged
            origin = await stored.latest_or(self.given)
        if origin is not self.next and origin.checkpoint is not None and origin is not self.given:
            self._check_edits(origin.checkpoint, stored.record_codec())
        return origin.as_new_run() if resume == "state" else origin

    def capture(self, topology: Topology, *, config: dict[str, Any], metadata: dict[str, Any]) -> Capture:
        """The graph as it is now, by reference to committed values."""
        pending = self.next.pending
        facts = pending.checkpoint.execution_metadata if pending else {"iteration": 0, "last_node": None}
        return CapturedSections(
            {
                "graph_state": self.state.capture(),
                "node_states": {key: store.capture() for key, store in self.node_states.items()},
                "frontier": pending.frontier if pending else None,
                "topology": topology.shape.data,
                "config": config,
                "execution_metadata": {**facts, "reason": "manual", "metadata": metadata},
            }
        )

    def pause(self, capture: Capture, *, graph_id: str) -> None:
        """Keep a run that has returned before it was complete, of a graph without checkpoints."""
        timestamp = datetime.fromtimestamp(0, UTC)
        self.paused = PendingRun(capture.checkpoint("paused", graph_id=graph_id, timestamp=timestamp))

    def begun(self) -> None:
        """The run that was to begin next has begun."""
        self.next, self.paused = Origin(), None

    def begin_at(self, origin: Origin) -> None:
        """Take over the state with which a run is to begin."""
        if origin.graph_state is not None and origin.graph_state is not self.next.graph_state:
            self.state = StateStore("graph_state", origin.graph_state)
            self.node_states = {
                key: StateStore(f"node_states[{key!r}]", values) for key, values in origin.node_states.items()
            }
            stored, origin.stored = origin.stored, None
            self.stored = self._with_state(stored) if stored is not None else None
        self.next = origin

    async def received_before(self, recorder: Recorder) -> Mapping[str, Any]:
        """What earlier runs have received of the messages that were sent to the graph."""
        return await received_before(recorder.history, known=self.stored.info if self.stored is not None else None)

    def take_stored(self) -> Continuation | None:
        """What the run that begins now can continue from. It changes that, so no other run can."""
        stored, self.stored = self.stored, None
        return stored

    def load(self, origin: Origin) -> GraphCheckpoint | None:
        """Take over what was found in the store; the checkpoint, or None when there was none."""
        self.begin_at(origin)
        if origin.checkpoint is self.given.checkpoint:
            return None  # so this is what was given
        self.mark_stored()
        return origin.checkpoint

    def finish_complete(self, origin: Origin) -> Message:
        """Take over the state at the end of a complete run, and return its result."""
        assert origin.pending is not None
        if origin is self.next and self.edits:
            raise RunError(
                f"set_state() set {', '.join(map(repr, self.edits))} of graph {origin.pending.checkpoint.graph_id!r}, whose run "
                "is complete, so nothing would use it. For a new run in this state, run(inputs, resume='state')."
            )
        self.begin_at(origin)
        self.next = Origin()
        return origin.pending.outcome()

    def drop_pending(self) -> None:
        """Keep the state, but not the pending work."""
        self.given = replace(self.given, pending=None)
        self.next, self.paused = Origin(), None

    def mark_stored(self) -> None:
        """A checkpoint holds everything that the run began with."""
        self.edits.clear()
        if self.given.pending is not None:
            self.given = replace(self.given, pending=None)

    def _with_state(self, stored: LoadedRecord) -> LoadedRecord:
        """The same with the state, of which the graph has made values of its own just now."""
        state = {
            "graph_state": self.state.capture(),
            "node_states": {key: store.capture() for key, store in self.node_states.items()},
        }
        return stored._replace(values={**state, **stored.values})

    def _check_edits(self, checkpoint: GraphCheckpoint, codec: RecordCodec) -> None:
        recorded = {key: checkpoint.graph_state[key] for key in self.edits if key in checkpoint.graph_state}
        lost = differing_names(self.edits, recorded, codec=codec)
        if lost:
            raise RunError(
                f"set_state() set {', '.join(lost)} of graph {checkpoint.graph_id!r}, and checkpoint "
                f"{checkpoint.checkpoint_id!r}, from which the run would be resumed, has other values. To edit the stored state: "
                "await graph.load(), then set_state(), then run()."
            )


class StoredCheckpoints:
    """The stored checkpoints of one graph, and how its nodes were renamed since they were made.

    :param for_result: of a complete run only the result is wanted, so its nodes may be others now.
    """

    __slots__ = ("backend", "for_result", "graph_id", "rename", "topology")

    def __init__(
        self,
        graph_id: str,
        backend: CheckpointBackend | None,
        topology: Topology,
        rename: Mapping[str, str] | None,
        *,
        for_result: bool,
    ) -> None:
        check_rename(rename)
        self.graph_id: str = graph_id
        self.backend: CheckpointBackend | None = backend
        self.topology: Topology = topology
        self.rename: Mapping[str, str] | None = rename
        self.for_result: bool = for_result

    def record_codec(self) -> RecordCodec:
        """What writes values as they are stored."""
        return self.backend.record_codec if self.backend is not None else RecordCodec()

    async def latest_or(self, given: Origin) -> Origin:
        """Where a run begins that resumes the latest checkpoint; what was given, if there is none.

        :raises GraphDefinitionError: the graph keeps no checkpoints.
        :raises CheckpointError: the latest one can't be used.
        """
        if self.backend is None:
            raise GraphDefinitionError(
                f"Graph {self.graph_id!r} has nothing to resume from: give it a checkpoint_config with a backend that keeps "
                "checkpoints, for instance CheckpointConfig(backend=FileCheckpointBackend(directory=…))."
            )
        latest, next_sequence = await look_up(self.backend, self.graph_id)
        if latest is None:
            return replace(given, next_sequence=next_sequence)
        return self.origin_at(latest.checkpoint, layout=latest.layout, next_sequence=next_sequence)

    def origin_at(
        self, checkpoint: GraphCheckpoint, *, layout: StoredLayout | None = None, next_sequence: int | None = None
    ) -> Origin:
        """Where a run begins that continues from this checkpoint.

        :param layout: how it is stored, if it is as it was loaded.
        :raises GraphRestoreError: it is invalid, belongs to another graph, or was made with other nodes.
        """
        if checkpoint.graph_id != self.graph_id:
            raise GraphRestoreError(
                f"Checkpoint {checkpoint.checkpoint_id!r} belongs to graph {checkpoint.graph_id!r}; graph {self.graph_id!r} "
                f"can't continue from it. Make a copy under this id: checkpoint.fork({self.graph_id!r})."
            )
        present = migrated(checkpoint)
        valid = validated(present)
        renamed = fitted(valid, self.topology, self.rename, for_result=self.for_result)
        stored = None
        if layout is not None and layout.sections and present is checkpoint and renamed is valid:
            stored = LoadedRecord(layout, self._unchanged(valid, loaded=checkpoint))
        return Origin.of(renamed, next_sequence=next_sequence, stored=stored)

    def _unchanged(self, checkpoint: GraphCheckpoint, *, loaded: GraphCheckpoint) -> dict[str, Any]:
        """The sections besides the state that a run takes over as they were read."""
        sections: dict[str, Any] = {"config": checkpoint.config}
        if checkpoint.frontier is not None and checkpoint.frontier is loaded.frontier:
            sections["frontier"] = checkpoint.frontier
        if is_same(checkpoint.topology, self.topology.shape.data):
            sections["topology"] = self.topology.shape.data
        return sections

    def check_not_renamed(self) -> None:
        """Refuse ``rename=`` where the graph has its checkpoint already.

        :raises GraphDefinitionError: it was given.
        """
        if self.rename is not None:
            raise GraphDefinitionError(
                f"run(rename=…): graph {self.graph_id!r} has its checkpoint already. Give rename= where it was loaded: "
                "Graph.from_checkpoint(), or load()."
            )
