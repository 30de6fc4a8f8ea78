"""What a user holds: a graph that runs, and whose runs survive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Self

from spark.errors import RunError
from spark.graphs.arguments import (
    Arguments,
    check_reachable,
    chosen_id,
    recorded_config,
    recorded_policy,
    topology_from,
)
from spark.graphs.checkpoint.configuration.config import CheckpointConfig
from spark.graphs.checkpoint.links import link, links_of
from spark.graphs.checkpoint.migrations import migrated
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.policies.run_trigger import RunTrigger
from spark.graphs.checkpoint.recording.capture import Capture
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import SYSTEM_CLOCK, SYSTEM_RANDOM, Clock, random_hex
from spark.graphs.concurrency.blocking import NODE_THREADS
from spark.graphs.concurrency.grace_period import TO_DRAIN
from spark.graphs.definition.nodes import Node
from spark.graphs.definition.policies import RetryOption, StepPolicy, TimeOption
from spark.graphs.definition.topology import Topology
from spark.graphs.engine.draining import RunHandle, checked_drain
from spark.graphs.engine.ending import Ending
from spark.graphs.engine.run import GraphRun
from spark.graphs.engine.spec import FailureRule, OnFailure
from spark.graphs.message import Message
from spark.graphs.progress import Progress
from spark.graphs.resuming.alive import newest, remember
from spark.graphs.resuming.origin import Origin, Resume, check_resume
from spark.graphs.resuming.restore import find_topology
from spark.graphs.resuming.session import GraphSession
from spark.graphs.resuming.validation import validated
from spark.graphs.state.journal import Entry
from spark.graphs.state.transactions import StateStore, check_key
from spark.graphs.tasks import Task
from spark.graphs.values.snapshots import snapshot

if TYPE_CHECKING:
    from spark.graphs.checkpoint.derived.claims import Claim


class Graph:
    """Nodes wired with ``>>``, the state that they share, and the checkpoints of their runs.

    Nodes and edges are those that are there when the graph is built: edges that are added later don't change it.

    :param start: the node that a run begins with; all others are found along the edges. Or the topology of another graph.
    :param id: what checkpoints know the graph by; ``graph_id`` means the same. Without one it gets a random id.
    :param state: the first values of the shared state.
    :param checkpoint_config: when and where to make checkpoints; None makes none.
    :param max_concurrency: how many nodes may run at the same time; None sets no limit.
    :param node_threads: how many plain nodes, which run in threads, may run at the same time. Async nodes need none.
    :param nodes: nodes that must be reachable from the start, to have that checked.
    :param on_failure: whether running nodes may ``"finish"`` when another one fails, and count, or are stopped: ``"cancel"``.
    :param failure_grace: seconds that they get for it; None: 600 to finish, after which they are stopped, or 5 to stop.
    :param retry: whether a failed step is executed again, for nodes that don't say so themselves: a ``Retry``, or a function.
    :param timeout: how long one execution of such a node may take, in seconds or as a ``timedelta``; None for no limit.
    :param idle_timeout: the same for how long it may give no sign of life.
    :param clock: the time, for triggers, budgets and timestamps; tests pass their own.
    :param random: where random ids come from; tests pass their own.
    :raises GraphDefinitionError: the graph can't be run as written.
    """

    def __init__(
        self,
        start: Node | Topology,
        *,
        id: str | None = None,
        graph_id: str | None = None,
        state: Mapping[str, Any] | None = None,
        checkpoint_config: CheckpointConfig | None = None,
        max_concurrency: int | None = None,
        node_threads: int = NODE_THREADS,
        nodes: Sequence[Node] = (),
        on_failure: OnFailure = "finish",
        failure_grace: float | None = None,
        retry: RetryOption = None,
        timeout: TimeOption = None,
        idle_timeout: TimeOption = None,
        clock: Clock = SYSTEM_CLOCK,
        random: Random = SYSTEM_RANDOM,
    ) -> None:
        self._arguments = Arguments(
            id=chosen_id(id, graph_id),
            checkpoint_config=checkpoint_config,
            max_concurrency=max_concurrency,
            node_threads=node_threads,
            on_failure=on_failure,
            failure_grace=failure_grace,
            policy=StepPolicy.of_graph(retry, timeout, idle_timeout),
            clock=clock,
            random=random,
        )
        self._session = GraphSession(
            Origin(graph_state=StateStore("graph_state", state, check=self._arguments.check).values)
        )
        self._run: GraphRun | None = None
        """The run that is under way, or the last one."""
        self._handle: RunHandle | None = None
        """Of the call that is under way."""
        self._topology = topology_from(start)
        self._arguments.check_trigger_nodes(self._topology)
        check_reachable(self._topology, nodes)
        self._arguments.warn_of_random_id()
        remember(self)

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: GraphCheckpoint,
        *,
        start: Node | None = None,
        checkpoint_config: CheckpointConfig | None = None,
        max_concurrency: int | None = None,
        rename: Mapping[str, str] | None = None,
    ) -> Self:
        """A graph that stands where the checkpoint was made; its next ``run`` continues from there.

        :param start: the start node of the wired graph. Without it the nodes come from a graph with the same id in this
            process, or are made again from the node classes and ``@node`` functions that the program has imported.
        :param checkpoint_config: how the continued run is checkpointed; without it, as the graph in this process is, or as
            the checkpoint records; and always in the backend that it was loaded from, if it was.
        :param rename: recorded node key, class or function to the key of the node that it is in the wired graph.
        :raises GraphRestoreError: a pending node is not available, or is a different one now; or the checkpoint is invalid.
        :raises CheckpointVersionError: it was written in an unknown major version, and no migration is registered.
        """
        store = links_of(checkpoint).store
        checkpoint = validated(migrated(checkpoint.isolated()))
        alive = newest(Graph, checkpoint.graph_id)
        known = alive._topology if alive is not None else None
        topology, checkpoint = find_topology(checkpoint, start=start, alive=known, rename=rename)
        graph = cls(
            topology,
            id=checkpoint.graph_id,
            checkpoint_config=checkpoint_config
            or (alive and alive._arguments.config_in(store))
            or recorded_config(checkpoint, store),
            max_concurrency=max_concurrency or checkpoint.config.get("max_concurrency"),
            node_threads=checkpoint.config.get("node_threads", NODE_THREADS),
            **FailureRule.recorded_in(checkpoint.config),
            **(alive._arguments.policy.to_repeat() if alive is not None else recorded_policy(checkpoint)),
            clock=alive._arguments.clock if alive is not None else SYSTEM_CLOCK,
            random=alive._arguments.random if alive is not None else SYSTEM_RANDOM,
        )
        graph._session = GraphSession(Origin.of(checkpoint))
        return graph

    async def run(
        self,
        task: Task | Mapping[str, Any] | None = None,
        *,
        resume: Resume = False,
        rename: Mapping[str, str] | None = None,
        wait: bool = True,
        claim: bool | Claim = False,
    ) -> Message:
        """Run until nothing is left to do, or until all that is left waits for something outside.

        A run begins at the start, with the state that the graph has, unless there is one to resume. No input is silently
        dropped: give a resumed run the inputs that it was started with, or none. A run that is complete returns its stored
        result again, and executes nothing.

        :param task: what to do: a ``Task``, the inputs of one, or nothing.
        :param resume: ``True`` continues from the latest checkpoint of this graph id; without one, the run begins with what the
            graph was made with. ``"state"`` begins a new run, with new inputs, in the state of the latest checkpoint. A
            ``GraphCheckpoint`` continues from that one. ``{id: answer}`` resumes the latest run with answers to questions, by the
            ids in ``message.interrupts``. ``False`` resumes what ``from_checkpoint`` or ``load`` brought in.
        :param rename: recorded node key, class or function to the key of the node that it is in this graph.
        :param wait: False returns when all that is left waits for a time, a signal or a retry, as ``"waiting"`` until
            ``message.due``. In any case a run returns as ``"interrupted"`` when only answers, and perhaps times, are left.
        :param claim: True, or a ``Claim``: one at a time runs a graph id that is claimed; a ``ClaimedError`` stops all others.
        :raises InputConflictError: the run to resume was started with other inputs.
        :raises RunError: a run is under way, or something that only this graph holds would be lost; says what to do.
        :raises BudgetExceededError: a limit of the task's budget was reached; a checkpoint was made.
        :raises CheckpointError: a checkpoint could not be made, or the one to resume from can't be used.
        :raises Exception: whatever a node raised.
        """
        call = self._begin("run", may_wait=wait)
        try:
            check_resume(resume, rename)
            if claim is not False:
                call.lease = await self._arguments.take_claim(claim, on_lost=call.lose)
            wanted = Task.of(task)
            stored = self._arguments.stored_checkpoints(self._topology, rename, for_result=resume != "state")
            origin = await self._session.choose_origin(resume, stored)
            answered: Mapping[str, Entry] = {}
            if resume:
                answered = origin.answered(resume, codec=stored.record_codec, check=self._arguments.check)
            if origin.pending is not None:
                origin.pending.check_inputs(wanted.inputs, codec=stored.record_codec())
                if origin.pending.is_complete():
                    self._run = None
                    return self._session.finish_complete(origin)
            with self._arguments.new_trigger(origin) as trigger:
                return await self._run_from(origin, wanted, trigger, answered, call)
        finally:
            try:
                if call.lease is not None:
                    await call.lease.release()
            finally:
                self._handle = None

    def drain(self, reason: str = "", *, grace: float = TO_DRAIN) -> bool:
        """Ask the run that is under way to stop at a boundary: it starts nothing new, saves, and returns ``status="drained"``.

        It may be called from another task, from another thread, in a signal handler, or by a node or hook of the run itself.
        Called again, it can shorten the time. Returns whether a run was there to ask.

        :param reason: what the message says as its ``reason``.
        :param grace: seconds that running nodes get to finish; then they are cancelled, and stay pending. A node that ignores its
            cancellation, or blocks its thread, is left behind after ``cancel_grace`` more, 5 by default.
        :raises GraphDefinitionError: an argument can't be used.
        """
        request, handle = checked_drain(reason, grace), self._handle
        return handle is not None and handle.drain(request)

    async def load(self, *, rename: Mapping[str, str] | None = None) -> GraphCheckpoint | None:
        """Bring the latest checkpoint of this graph id into the graph; the next ``run`` continues from it.

        Until then ``set_state`` edits its state. Without a checkpoint, the graph stands where it was made, and this returns None.

        :param rename: as for ``run``.
        :raises RunError: a run is under way.
        :raises CheckpointError: the checkpoint can't be used.
        """
        self._begin("load")
        try:
            origin = await self._arguments.stored_checkpoints(self._topology, rename, for_result=False).latest_or(
                self._session.given
            )
            found = self._session.load(origin)
            self._run = None
            return found.isolated() if found is not None else None
        finally:
            self._handle = None

    def with_checkpoints(self, checkpoint_config: CheckpointConfig | None) -> Self:
        """The same graph, checkpointed in another way: a new one with this one's nodes, id and committed states.

        Pending work of a restored graph is not taken along.
        """
        self._check_idle("with_checkpoints")
        graph = type(self)(
            self._topology,
            id=self.graph_id if self._arguments.is_named else None,
            state=self._session.state.copy(),
            checkpoint_config=checkpoint_config,
            **self._arguments.to_repeat(),
        )
        graph._session.set_node_states(self._session.node_states, check=graph._arguments.check)
        return graph

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
        now = self._arguments.clock.utc_now()
        if checkpoint_id is None:  # an empty one is refused, like any other that can't be used
            checkpoint_id = f"ckpt_{now:%Y%m%d_%H%M%S}_m{random_hex(self._arguments.random, size=4)}"
        checkpoint = capture.checkpoint(checkpoint_id, graph_id=self._arguments.graph_id, timestamp=now)
        return link(checkpoint.isolated(), observers=self._arguments.observers, codec=self._arguments.own_codec())

    async def get_state(self, key: str, default: Any = None) -> Any:
        """A committed value of the shared state, as your own copy."""
        return snapshot(self._session.state.values.get(key, default))

    async def set_state(self, key: str, value: Any) -> None:
        """Set a value of the shared state between runs; nodes use ``context.graph_state``.

        :raises RunError: a run is under way.
        """
        self._check_idle("set_state")
        self._session.edit(check_key(key), snapshot(value, path=f"graph_state[{key!r}]", check=self._arguments.check))

    def get_state_snapshot(self) -> dict[str, Any]:
        """All committed values of the shared state, as your own copy."""
        return self._session.state.copy()

    def mermaid(self) -> str:
        """The graph drawn as a Mermaid flowchart."""
        return self._topology.mermaid()

    @property
    def progress(self) -> Progress | None:
        """The progress of the current run, or of the last one; None before the first."""
        return self._run.progress() if self._run is not None else None

    @property
    def graph_id(self) -> str:
        """What checkpoints know the graph by."""
        return self._arguments.graph_id

    @property
    def id(self) -> str:
        """The same as ``graph_id``."""
        return self._arguments.graph_id

    @property
    def nodes(self) -> dict[str, Node]:
        """Node key to node, in the order of discovery."""
        return {key: plan.node for key, plan in self._topology.plans.items()}

    @property
    def checkpoint_config(self) -> CheckpointConfig | None:
        """How the graph is checkpointed."""
        return self._arguments.checkpoint_config

    @property
    def checkpoint_backend(self) -> CheckpointBackend | None:
        """Where its checkpoints go; None when it makes none."""
        return self._arguments.backend

    @property
    def start(self) -> Node:
        """The node that a run begins with.

        Setting it rebuilds the graph, with the edges that there are now. It keeps the state and discards pending work: the
        next run begins at the new start.
        """
        return self._topology.first

    @start.setter
    def start(self, node: Node) -> None:
        self._check_idle("start")
        topology = topology_from(node)
        self._arguments.check_trigger_nodes(topology)
        self._topology = topology
        self._session.drop_pending()
        self._run = None

    def __repr__(self) -> str:
        return f"<Graph {self._arguments.graph_id!r} with {len(self._topology.plans)} nodes>"

    async def _run_from(
        self, origin: Origin, task: Task, trigger: RunTrigger, answered: Mapping[str, Entry], call: RunHandle
    ) -> Message:
        if origin.pending is not None:
            inputs = origin.pending.inputs
        else:  # first: if they can't be saved, the graph is unchanged
            inputs = snapshot(dict(task.inputs), path="inputs", check=self._arguments.check)
        recorder = self._arguments.new_recorder()
        if recorder is not None:
            await recorder.open(parent=origin.parent, next_sequence=origin.next_sequence)
        received: Mapping[str, Any] = {}
        if recorder is not None and origin.pending is None:  # a run that is resumed knows it itself
            received = await self._session.received_before(recorder)
        self._session.begin_at(origin)
        if recorder is not None:
            recorder.continue_from(self._session.take_stored())
        self._run = None
        if origin.checkpoint is not None and origin.pending is not None:
            await self._arguments.observers.restored(origin.checkpoint)
        run = self._run = self._arguments.new_run(
            self._topology,
            origin,
            task,
            inputs=inputs,
            session=self._session,
            recorder=recorder,
            trigger=trigger,
            answered=answered,
            received=received,
            call=call,
        )
        self._session.begun()  # only now: a run that could not begin can be tried again
        is_stored = True
        ending = Ending(run)
        call.attach(ending)
        try:
            message = await ending.reach()
            if recorder is None and message.status != "completed":
                self._session.pause(run.capture(reason=message.status), graph_id=self.graph_id)
            return message
        except BaseException:
            is_stored = recorder is not None and recorder.history.has_grown
            raise
        finally:
            run.services.executor.close()
            if recorder is not None:
                self._session.stored = recorder.left()
            if is_stored:
                self._session.mark_stored()

    def _capture(self, metadata: dict[str, Any]) -> Capture:
        if self._run is not None:
            return self._run.capture(reason="manual", metadata=metadata)
        pending = self._session.next.pending
        config = self._arguments.to_data(Task(), pending.inputs if pending else None)
        return self._session.capture(self._topology, config=config, metadata=metadata)

    def _begin(self, what: str, *, may_wait: bool = True) -> RunHandle:
        self._check_idle(what)
        self._handle = RunHandle(is_run=what == "run", may_wait=may_wait)
        return self._handle

    def _check_idle(self, what: str) -> None:
        if self._handle is not None:
            raise RunError(
                f"Graph {self.graph_id!r} is running, so {what} has to wait: await the run first, or use another Graph with an "
                "id of its own."
            )
