"""What a user holds: a graph that runs, and whose runs survive."""

from __future__ import annotations

import secrets
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Self
from weakref import WeakValueDictionary

from spark.errors import GraphDefinitionError, RunError, SparkWarning
from spark.graphs.arguments import (
    audience_of,
    checked_concurrency,
    checked_config,
    checked_failure_rule,
    checked_start,
    chosen_id,
    opened_backend,
)
from spark.graphs.checkpoint.backend import CheckpointBackend
from spark.graphs.checkpoint.config import CheckpointConfig
from spark.graphs.checkpoint.durability import saving
from spark.graphs.checkpoint.migrations import migrated
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.recorder import Capture, Recorder
from spark.graphs.checkpoint.store import load_latest, utc_now
from spark.graphs.ending import Ending, FailureRule, OnFailure
from spark.graphs.message import Message
from spark.graphs.nodes import Node
from spark.graphs.progress import Progress
from spark.graphs.restore import NothingRecorded, PendingRun, check_supply, find_start
from spark.graphs.run import GraphRun
from spark.graphs.state import StateStore, check_key
from spark.graphs.tasks import Task
from spark.graphs.topology import Topology
from spark.graphs.values import snapshot

_ALIVE: WeakValueDictionary[int, Graph] = WeakValueDictionary()
"""Every graph in this process, in the order of their making. Several may have one id, and the newest need not live longest."""
_NUMBERS = count()


class Graph:
    """Nodes wired with ``>>``, the state that they share, and the checkpoints of their runs.

    :param start: the node that a run begins with; all others are found along the edges.
    :param id: what checkpoints know the graph by; ``graph_id`` means the same. Without one it gets a random id.
    :param state: the first values of the shared state.
    :param checkpoint_config: when and where to make checkpoints; None makes none.
    :param max_concurrency: how many nodes may run at the same time; None sets no limit.
    :param nodes: nodes that must be reachable from the start, to have that checked.
    :param on_failure: whether running nodes may ``"finish"`` when another one fails, and count, or are stopped: ``"cancel"``.
    :param failure_grace: seconds that they get for it; None: 600 to finish, after which they are stopped, or 5 to stop.
    :param clock: seconds, for time triggers and budgets; tests pass their own.
    :raises GraphDefinitionError: the graph can't be run as written.
    """

    def __init__(
        self,
        start: Node,
        *,
        id: str | None = None,
        graph_id: str | None = None,
        state: Mapping[str, Any] | None = None,
        checkpoint_config: CheckpointConfig | None = None,
        max_concurrency: int | None = None,
        nodes: Sequence[Node] = (),
        on_failure: OnFailure = "finish",
        failure_grace: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._graph_id, self._is_named = chosen_id(id, graph_id)
        self._state = StateStore("graph_state", state)
        self._node_states: dict[str, StateStore] = {}
        self._checkpoint_config = checked_config(checkpoint_config)
        self._backend = opened_backend(self._checkpoint_config)
        self._audience = audience_of(self._checkpoint_config)
        self._max_concurrency = checked_concurrency(max_concurrency)
        self._failure_rule = checked_failure_rule(on_failure, failure_grace)
        self._clock = clock
        self._pending: PendingRun | None = None
        """The interrupted run that the next ``run`` continues."""
        self._run: GraphRun | None = None
        """The run that is under way, or the last one."""
        self._is_running = False
        self._start = checked_start(start)
        self._topology = self._look(self._start)
        self._check_reachable(nodes)
        self._warn_of_random_id()
        _ALIVE[next(_NUMBERS)] = self

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: GraphCheckpoint,
        *,
        start: Node | None = None,
        checkpoint_config: CheckpointConfig | None = None,
        max_concurrency: int | None = None,
    ) -> Self:
        """A graph that stands where the checkpoint was made; its next ``run`` goes on from there.

        :param start: the start node of the wired graph. Without it the nodes come from a graph with the same id in this
            process, or are made anew from the node classes and ``@node`` functions that the program has imported.
        :param checkpoint_config: how the continued run is checkpointed; without it, as the graph in this process is, or as
            the checkpoint records, in the backend that it was loaded from.
        :raises GraphRestoreError: a node that the checkpoint still has to run can't be had; says which, and what to pass.
        :raises CheckpointVersionError: it was written in an unknown major version, and no migration is registered.
        """
        checkpoint = migrated(checkpoint.isolated())
        alive = _newest_alive(checkpoint.graph_id)
        graph = cls(
            find_start(checkpoint, start=start, alive=alive._start if alive is not None else None),
            id=checkpoint.graph_id,
            checkpoint_config=checkpoint_config or _inherited_config(checkpoint, alive),
            max_concurrency=max_concurrency or checkpoint.config.get("max_concurrency"),
            **FailureRule.recorded_in(checkpoint.config),
            clock=alive._clock if alive is not None else time.monotonic,
        )
        graph._take_over(checkpoint)
        return graph

    async def run(self, task: Task | Mapping[str, Any] | None = None, *, resume: bool = False) -> Message:
        """Run until nothing is left to do.

        A graph made by ``from_checkpoint`` goes on where the checkpoint was made; any other begins at its start, with the
        state that it has.

        :param task: what to do: a ``Task``, the inputs of one, or nothing.
        :param resume: go on from the latest checkpoint of this graph id, if there is one.
        :raises BudgetExceededError: a limit of the task's budget was reached; a checkpoint was made.
        :raises CheckpointError: a checkpoint could not be made, or the one to resume from can't be used.
        :raises Exception: whatever a node raised.
        """
        self._check_idle("run")
        self._is_running = True
        try:
            wanted = Task.of(task)
            self._refresh()
            if resume and self._pending is None:
                await self._load_latest()
            if self._pending is not None and self._pending.is_complete():
                pending, self._pending = self._pending, None
                return pending.result() or Message(content=None, status="completed", node=None)
            return await self._run_from(self._pending, wanted)
        finally:
            self._is_running = False

    def with_checkpoints(self, checkpoint_config: CheckpointConfig | None) -> Self:
        """The same graph, checkpointed in another way: a new one with this one's nodes, id and committed state.

        Pending work of a restored graph stays behind.
        """
        self._check_idle("with_checkpoints")
        return type(self)(
            self._start,
            id=self._graph_id if self._is_named else None,
            state=self._state.copy(),
            checkpoint_config=checkpoint_config,
            max_concurrency=self._max_concurrency,
            **self._failure_rule.to_data(),
            clock=self._clock,
        )

    def create_checkpoint(
        self, checkpoint_id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> GraphCheckpoint:
        """A snapshot of the graph at its last boundary, which may be taken while a run is under way.

        It is kept by ``await checkpoint.save(backend)``.

        :param checkpoint_id: any id that you like; without one it gets a random one.
        :param metadata: yours, found again in ``execution_metadata['metadata']``.
        :raises InvalidIdError: the id can't be used.
        """
        capture = self._capture(dict(metadata or {}))
        now = utc_now()
        if checkpoint_id is None:  # an empty one is refused, like any other that can't be used
            checkpoint_id = f"ckpt_{now:%Y%m%d_%H%M%S}_m{secrets.token_hex(4)}"
        return GraphCheckpoint(
            checkpoint_id=checkpoint_id,
            graph_id=self._graph_id,
            timestamp=now,
            graph_state=capture.graph_state,
            node_states=capture.node_states,
            execution_metadata=capture.metadata,
            config=capture.config,
            topology=capture.topology,
            frontier=capture.frontier or None,
            audience=self._audience,
        ).isolated()

    async def get_state(self, key: str, default: Any = None) -> Any:
        """A committed value of the shared state, as your own copy."""
        return snapshot(self._state.values.get(key, default))

    async def set_state(self, key: str, value: Any) -> None:
        """Set a value of the shared state between runs; nodes use ``context.graph_state``.

        :raises RunError: a run is under way.
        """
        self._check_idle("set_state")
        self._state.apply({check_key(key): snapshot(value, path=f"graph_state[{key!r}]")}, writer="set_state")

    def get_state_snapshot(self) -> dict[str, Any]:
        """All committed values of the shared state, as your own copy."""
        return self._state.copy()

    def mermaid(self) -> str:
        """The graph drawn as a Mermaid flowchart."""
        self._refresh()
        return self._topology.mermaid()

    @property
    def progress(self) -> Progress | None:
        """How far the run is that is under way, or how far the last one came; None before the first."""
        return self._run.progress() if self._run is not None else None

    @property
    def graph_id(self) -> str:
        """What checkpoints know the graph by."""
        return self._graph_id

    @property
    def id(self) -> str:
        """The same as ``graph_id``."""
        return self._graph_id

    @property
    def nodes(self) -> dict[str, Node]:
        """Node key to node, in the order of discovery."""
        self._refresh()
        return {key: plan.node for key, plan in self._topology.plans.items()}

    @property
    def checkpoint_config(self) -> CheckpointConfig | None:
        """How the graph is checkpointed."""
        return self._checkpoint_config

    @property
    def checkpoint_backend(self) -> CheckpointBackend | None:
        """Where its checkpoints go; None when it makes none."""
        return self._backend

    @property
    def start(self) -> Node:
        """The node that a run begins with.

        Setting it keeps the state and drops restored pending work: the next run begins at the new start.
        """
        return self._start

    @start.setter
    def start(self, node: Node) -> None:
        self._check_idle("start")
        self._topology = self._look(checked_start(node))
        self._start = node
        self._pending = None
        self._run = None

    def __repr__(self) -> str:
        return f"<Graph {self._graph_id!r} with {len(self._topology.plans)} nodes>"

    async def _run_from(self, pending: PendingRun | None, task: Task) -> Message:
        run, recorder = self._new_run(pending, task)
        if recorder is not None:
            parent = pending.checkpoint.sequence if pending is not None else None
            await recorder.open(parent=parent, is_latest=pending is not None and pending.is_latest)
        if pending is not None:
            await self._audience.restored(pending.checkpoint)
        self._pending, self._run = None, run  # not before: a run that could not begin can be tried again
        rule, is_new = self._failure_rule, pending is None
        return await Ending(run, config=self._checkpoint_config, failure_rule=rule, is_new=is_new).reach()

    def _new_run(self, pending: PendingRun | None, task: Task) -> tuple[GraphRun, Recorder | None]:
        config, recorder = self._checkpoint_config, self._new_recorder()
        frontier = self._topology.new_frontier()
        if pending is None:
            frontier.add(self._topology.start, snapshot(dict(task.inputs), path="inputs"))
        else:
            assert pending.checkpoint.frontier is not None
            frontier.load(pending.checkpoint.frontier)
        frontier.release_joins()
        run = GraphRun(
            graph_id=self._graph_id,
            run_id=(pending.run_id if pending else None) or secrets.token_hex(8),
            topology=self._topology,
            state=self._state,
            node_states=self._node_states,
            frontier=frontier,
            task=task,
            config=self._config_data(task),
            saving=saving(recorder, durability=config.durability) if recorder and config else None,
            error=pending.checkpoint.execution_metadata.get("error") if pending else None,
            max_concurrency=self._max_concurrency,
            clock=self._clock,
            iteration=pending.iteration if pending else 0,
            last_node=pending.last_node if pending else None,
            result=pending.result() if pending else None,
        )
        return run, recorder

    def _new_recorder(self) -> Recorder | None:
        if self._backend is None or self._checkpoint_config is None:
            return None
        return Recorder(
            graph_id=self._graph_id,
            backend=self._backend,
            trigger=self._checkpoint_config.combined_trigger(),
            retention=self._checkpoint_config.combined_retention(),
            audience=self._audience,
        )

    def _config_data(self, task: Task) -> dict[str, Any]:
        return {
            "enable_state": True,
            "mode": str(task.type),
            "max_concurrency": self._max_concurrency,
            **self._failure_rule.to_data(),
            "checkpoint": self._checkpoint_config.to_data() if self._checkpoint_config else None,
        }

    def _capture(self, metadata: dict[str, Any]) -> Capture:
        if self._run is not None:
            return self._run.capture(reason="manual", metadata=metadata)
        self._refresh()
        pending = self._pending
        return Capture(
            graph_state=self._state.capture(),
            node_states={key: store.capture() for key, store in self._node_states.items()},
            frontier=pending.checkpoint.frontier or {} if pending else {},
            topology=self._topology.to_data(),
            config=self._config_data(Task()),
            metadata={
                **(pending.checkpoint.execution_metadata if pending else {"iteration": 0, "last_node": None}),
                "reason": "manual",
                "metadata": metadata,
            },
        )

    async def _load_latest(self) -> None:
        if self._backend is None:
            raise GraphDefinitionError(
                f"Graph {self._graph_id!r} has nothing to resume from: give it a checkpoint_config with a backend that keeps "
                "checkpoints, for instance CheckpointConfig(backend=FileCheckpointBackend(directory=…))."
            )
        checkpoint = await load_latest(self._backend, self._graph_id)
        if checkpoint is not None:
            checkpoint = migrated(checkpoint)
            check_supply(checkpoint, self._topology)
            self._take_over(checkpoint, is_latest=True)

    def _take_over(self, checkpoint: GraphCheckpoint, *, is_latest: bool = False) -> None:
        self._state = StateStore("graph_state", checkpoint.graph_state)
        self._node_states = {
            key: StateStore(f"node_states[{key!r}]", values) for key, values in checkpoint.node_states.items()
        }
        self._pending = PendingRun.of(checkpoint, is_latest=is_latest)
        self._run = None

    def _look(self, start: Node) -> Topology:
        topology = Topology(start)
        self._check_trigger_nodes(topology)
        return topology

    def _refresh(self) -> None:
        if self._topology.is_stale():
            self._topology = self._look(self._start)

    def _check_trigger_nodes(self, topology: Topology) -> None:
        trigger = self._checkpoint_config.combined_trigger() if self._checkpoint_config else None
        if trigger is None or isinstance(topology.plans[topology.start].node, NothingRecorded):
            return
        known = frozenset[str]().union(*(plan.names for plan in topology.plans.values()))
        unknown = sorted(trigger.nodes() - known)
        if unknown:
            raise GraphDefinitionError(
                f"Graph {self._graph_id!r} has no node {', '.join(map(repr, unknown))} to make a checkpoint after. Its nodes are "
                f"{', '.join(map(repr, sorted(known)))}; a trigger takes a node's key, name or class name."
            )

    def _check_reachable(self, nodes: Sequence[Node]) -> None:
        reachable = {plan.node for plan in self._topology.plans.values()}
        lost = [node.label() for node in nodes if node not in reachable]
        if lost:
            raise GraphDefinitionError(
                f"No edge leads from the start {self._start.label()!r} to {', '.join(map(repr, lost))}; wire it with >>, or "
                "leave it out of nodes=."
            )

    def _check_idle(self, what: str) -> None:
        if self._is_running:
            raise RunError(
                f"Graph {self._graph_id!r} is running, so {what} has to wait: await the run first, or use another Graph with an "
                "id of its own."
            )

    def _warn_of_random_id(self) -> None:
        if self._backend is not None and self._backend.persistent and not self._is_named:
            warnings.warn(
                f"The graph keeps checkpoints in the {self._backend.name} backend under the random id {self._graph_id!r}, which "
                "another process could not find again. Give it one: Graph(id='…').",
                SparkWarning,
                stacklevel=3,
            )


def _inherited_config(checkpoint: GraphCheckpoint, alive: Graph | None) -> CheckpointConfig | None:
    if alive is not None and alive._checkpoint_config is not None:
        # The very store, so that one in memory is not left behind, and a URL is not opened twice.
        return replace(alive._checkpoint_config, backend=alive._backend)
    return CheckpointConfig.from_data(checkpoint.config.get("checkpoint"), backend=checkpoint.source)


def _newest_alive(graph_id: str) -> Graph | None:
    return next((graph for graph in reversed(list(_ALIVE.values())) if graph._graph_id == graph_id), None)
