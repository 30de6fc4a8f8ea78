"""What a run begins with: a state, and of a run that is resumed, its pending work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias

from spark.errors import GraphDefinitionError, InputConflictError, RunError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.maintenance.loading import Latest, load_to_continue
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.policies.branches import aside_in
from spark.graphs.checkpoint.recording.continuation import LoadedRecord
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.definition.topology import Topology
from spark.graphs.engine.position import RunPosition
from spark.graphs.engine.waiting.attempts import Attempts
from spark.graphs.message import Message
from spark.graphs.resuming.answers import answered_entries, give_answers
from spark.graphs.resuming.comparison import differing_names
from spark.graphs.state.journal import Entry
from spark.graphs.state.transactions import StateStore
from spark.graphs.values.snapshots import Check

Resume: TypeAlias = bool | Literal["state"] | GraphCheckpoint | Mapping[str, Any]
"""What ``run(resume=…)`` takes: whether to resume, and from what; or answers to questions, each by the question's id."""


@dataclass(slots=True, kw_only=True)
class Origin:
    """Where a run begins. Without a state of its own, it begins with the one that the graph has."""

    graph_state: dict[str, Any] | None = None
    """The shared state."""
    node_states: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Node key to that node's own state."""
    checkpoint: GraphCheckpoint | None = None
    """Where the state comes from; None for a state that was given."""
    pending: PendingRun | None = None
    """The run to continue; None for a new one."""
    stored: LoadedRecord | None = None
    """How its sections are stored, but for those of which the graph makes values of its own: those of the state."""
    next_sequence: int | None = None
    """The next free sequence when the store was read; whatever has it, or a higher one, was written by others since. None: the
    store was not read."""

    @classmethod
    def of(
        cls, checkpoint: GraphCheckpoint, *, next_sequence: int | None = None, stored: LoadedRecord | None = None
    ) -> Self:
        """The state and the pending work of a checkpoint that was checked."""
        return cls(
            graph_state=dict(checkpoint.graph_state),  # set_state may edit it
            node_states=checkpoint.node_states,
            checkpoint=checkpoint,
            pending=PendingRun(checkpoint) if checkpoint.frontier is not None else None,
            stored=stored,
            next_sequence=next_sequence,
        )

    @property
    def parent(self) -> int | None:
        """The sequence of the checkpoint that the run's first checkpoint continues."""
        return self.checkpoint.sequence if self.checkpoint is not None else None

    @property
    def aside(self) -> str:
        """What that checkpoint says of other branches of its history."""
        return aside_in(self.checkpoint.execution_metadata) if self.checkpoint is not None else ""

    def position(
        self,
        topology: Topology,
        inputs: Any,
        *,
        state: StateStore,
        node_states: dict[str, StateStore],
        check: Check | None,
        attempts: Attempts,
        answered: Mapping[str, Entry],
    ) -> RunPosition:
        """Where the run stands when it begins.

        :param inputs: of a new run.
        :param state: the committed state to begin with.
        :param check: whether a value can be saved where the checkpoints go.
        :param attempts: decides whether a failed step is executed again.
        :param answered: entries of its journal that were answered, as ``answered_entries`` returns them.
        """
        frontier, pending = topology.new_frontier(), self.pending
        if pending is None:
            frontier.add(topology.start, inputs)
            frontier.release_joins()
            return RunPosition(state=state, node_states=node_states, frontier=frontier, check=check, attempts=attempts)
        frontier.load(pending.frontier)
        if answered:
            give_answers(frontier, answered)
        frontier.release_joins()
        return RunPosition(
            state=state,
            node_states=node_states,
            frontier=frontier,
            iteration=pending.iteration,
            last_node=pending.last_node,
            result=pending.result(),
            error=pending.error,
            check=check,
            attempts=attempts,
            is_urgent=bool(answered),
        )

    def answered(self, resume: Resume, *, codec: Callable[[], RecordCodec], check: Check | None) -> dict[str, Entry]:
        """The entries of its run's journal that answers close. Nothing is changed.

        :param resume: what ``run`` was given: only a mapping has answers.
        :param codec: returns what writes values as they are stored; asked for only where there are answers.
        :raises RunError: an answer belongs to no question of the run.
        :raises SerializationError: an answer can't be saved.
        """
        if not isinstance(resume, Mapping) or not resume:
            return {}
        if self.pending is None:
            raise RunError("run(resume={…}): there is no run that has asked anything. To begin one, run(inputs).")
        return answered_entries(self.pending.frontier, resume, codec=codec(), check=check)

    def set(self, key: str, value: Any) -> None:
        """Begin with another value under this key."""
        if self.graph_state is not None:
            self.graph_state[key] = value

    def as_new_run(self) -> Origin:
        """The same state for a new run.

        :raises RunError: its run is unfinished, and the pending work would be lost.
        """
        if self.pending is not None and not self.pending.is_complete():
            raise RunError(
                f"Graph {self.pending.checkpoint.graph_id!r} has an unfinished run, {self.pending.run_id!r}, which a new one "
                f"would abandon: it still has to run {', '.join(map(repr, self.pending.nodes()))}. Finish it with "
                "run(resume=True). Or abandon it and keep its state: await graph.load(), then graph.start = graph.start, then "
                "run(inputs)."
            )
        return replace(self, pending=None)


@dataclass(frozen=True, slots=True)
class PendingRun:
    """A run that was interrupted or is complete, as a checked checkpoint records it."""

    checkpoint: GraphCheckpoint

    @property
    def frontier(self) -> dict[str, Any]:
        """Its pending work."""
        assert self.checkpoint.frontier is not None
        return self.checkpoint.frontier

    @property
    def run_id(self) -> str | None:
        """Its id, if it ever began."""
        return self.checkpoint.execution_metadata.get("run_id")

    @property
    def iteration(self) -> int:
        """How many steps were committed."""
        return int(self.checkpoint.execution_metadata.get("iteration", 0))

    @property
    def last_node(self) -> str | None:
        """The key of the node that completed last."""
        return self.checkpoint.execution_metadata.get("last_node")

    @property
    def error(self) -> dict[str, Any] | None:
        """Why it failed, if it did."""
        error = self.checkpoint.execution_metadata.get("error")
        return error if isinstance(error, dict) else None

    @property
    def inputs(self) -> Mapping[str, Any] | None:
        """What it was started with; None if that was not recorded."""
        return self.checkpoint.config.get("inputs")

    @property
    def carrier(self) -> dict[str, str]:
        """What tracing stored with it."""
        carrier = self.checkpoint.config.get("carrier")
        pairs = carrier.items() if isinstance(carrier, Mapping) else ()
        return {key: value for key, value in pairs if isinstance(key, str) and isinstance(value, str)}

    def nodes(self) -> list[str]:
        """The keys of the nodes that it still has to run, in order, each once."""
        return list(dict.fromkeys(token["node"] for token in self.frontier["tokens"].values()))

    def is_complete(self) -> bool:
        """Whether no work is left."""
        return not self.frontier["tokens"]

    def result(self) -> Message | None:
        """What the last finishing node had returned, if one had finished."""
        result = self.frontier.get("result")
        if result is None:
            return None
        return Message(
            content=result["content"], status="completed", node=result["node"], run_id=self.run_id, resumed=True
        )

    def outcome(self) -> Message:
        """Its result, when it is complete."""
        return self.result() or Message(content=None, status="completed", node=None, run_id=self.run_id, resumed=True)

    def check_inputs(self, given: Mapping[str, Any], *, codec: RecordCodec) -> None:
        """Make sure that inputs, if there are any, are those that the run was started with.

        :raises InputConflictError: they differ, or the checkpoint does not record any.
        """
        if not given:
            return
        if self.inputs is None:
            raise InputConflictError(
                f"{self._called()} does not record its inputs, so it can't be checked whether these are the same. {self._cure()}"
            )
        names = differing_names(given, self.inputs, codec=codec)
        if names:
            raise InputConflictError(
                f"{self._called()} was started with other inputs; they differ in {', '.join(names)}. {self._cure()}"
            )

    def _called(self) -> str:
        state = "complete" if self.is_complete() else "unfinished"
        return f"The {state} run {self.run_id!r} of graph {self.checkpoint.graph_id!r}"

    def _cure(self) -> str:
        if self.is_complete():
            return (
                "For its result, leave the inputs out. For a new run with these inputs in the state that it left, "
                "run(inputs, resume='state'); for one that starts from scratch, run(inputs), or a graph with another id."
            )
        return (
            "To finish it, leave the inputs out: run(resume=True). To work on these inputs beside it, give the graph another id; "
            "run(inputs) abandons the unfinished work and starts from scratch."
        )


def check_resume(resume: Any, rename: Any) -> None:
    """Check the arguments of ``run`` that say whether and how to resume.

    :raises GraphDefinitionError: they can't be used.
    """
    if resume is False and rename is not None:
        raise GraphDefinitionError("run(rename=…) maps the nodes of a run that is resumed; give resume= as well.")
    if isinstance(resume, bool):
        return
    if isinstance(resume, Mapping) and all(type(id) is str for id in resume):
        return
    if not isinstance(resume, GraphCheckpoint) and resume != "state":
        raise GraphDefinitionError(
            f"run(resume={resume!r}): give True to resume the latest run, {{id: answer}} to answer its questions as well, "
            "'state' for a new run in the stored state, or a GraphCheckpoint to continue from that one. To use the id of a "
            "checkpoint, load it first: await manager.load_checkpoint(id)."
        )


async def look_up(backend: CheckpointBackend, graph_id: str) -> tuple[Latest | None, int]:
    """The latest checkpoint of a graph, or None; and the next free sequence."""
    with wrapped(backend, "looking for the latest checkpoint of graph ", graph_id):
        # First: what is written after this is either found below, or takes the sequence of the run's first checkpoint.
        next_sequence = await backend.next_sequence(graph_id)
    latest = await load_to_continue(backend, graph_id)
    found = (latest.checkpoint.sequence or 0) if latest is not None else 0
    return latest, max(next_sequence, found + 1)
