"""What a user holds: a graph that runs, and whose runs survive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Self, Unpack

from spark.errors import RunError
from spark.graphs.arguments import Arguments, check_reachable, chosen_id, topology_from
from spark.graphs.checkpoint.configuration.config import CheckpointConfig
from spark.graphs.checkpoint.links import link, links_of
from spark.graphs.checkpoint.migrations import migrated
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.recording.capture import Capture
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import SYSTEM_CLOCK, SYSTEM_RANDOM, Clock, random_hex
from spark.graphs.concurrency.blocking import NODE_THREADS
from spark.graphs.concurrency.grace_period import TO_DRAIN
from spark.graphs.definition.nodes import Node
from spark.graphs.definition.policies import ExecutorOption, RetryOption, StepPolicy, TimeOption
from spark.graphs.definition.topology import Topology
from spark.graphs.engine.draining import RunHandle, checked_drain
from spark.graphs.engine.run import GraphRun
from spark.graphs.engine.spec import OnFailure
from spark.graphs.message import Message
from spark.graphs.progress import Progress
from spark.graphs.resuming.alive import newest, remember
from spark.graphs.resuming.origin import Origin, Resume
from spark.graphs.resuming.restore import find_topology
from spark.graphs.resuming.session import GraphSession
from spark.graphs.resuming.validation import validated
from spark.graphs.running import Asked, RunCall, until_ended
from spark.graphs.state.transactions import StateStore, check_key
from spark.graphs.tasks import Task
from spark.graphs.values.snapshots import snapshot

if TYPE_CHECKING:
    from spark.graphs.checkpoint.derived.claims import Claim
    from spark.graphs.events.channel import Channel, Watching
    from spark.graphs.events.stream import EventStream
    from spark.graphs.events.watcher import Watcher


class Graph:
    """Nodes wired with ``>>``, the state that they share, and the checkpoints of their runs.

    Nodes and edges are fixed when the graph is built: edges that are added later don't change it.

    :param start: the node that a run begins with; all others are found along the edges. Or the topology of another graph.
    :param id: what checkpoints know the graph by; ``graph_id`` means the same. Without one it gets a random id.
    :param state: the first values of the shared state.
    :param checkpoint_config: when and where to make checkpoints; None makes none.
    :param max_concurrency: how many nodes may run at the same time; None sets no limit.
    :param node_threads: how many plain nodes, which run in threads, may run at the same time. Async nodes need none.
    :param nodes: nodes that must be reachable from the start, to have that checked.
    :param on_failure: what happens to running nodes when another one fails: they ``"finish"``, and count, or are stopped:
        ``"cancel"``.
    :param failure_grace: seconds that they get for it; None: 600 to finish, after which they are stopped, or 5 to stop.
    :param retry: whether a failed step is executed again, for nodes that don't say so themselves: a ``Retry``, or a function.
    :param timeout: how long one execution of such a node may take, in seconds or as a ``timedelta``; None for no limit.
    :param idle_timeout: the same for the time without a sign of life.
    :param executor: where the code of such a node runs: the name of an executor, ``{name: {option: value}}``, or an object.
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
        executor: ExecutorOption = None,
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
            policy=StepPolicy.of_graph(retry, timeout, idle_timeout, executor),
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
        self._channels: list[Channel] = []
        """Of those who watch the next run."""
        self._left: list[asyncio.Task[None]] = []
        """A run whose stream was left, and which is being cancelled."""
        self._topology = topology_from(start)
        self._arguments.check_nodes(self._topology)
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
        """A graph at the position where the checkpoint was made; its next ``run`` continues from there.

        :param start: the start node of the wired graph. Without it the nodes come from a graph with the same id in this
            process, or are made again from the node classes and ``@node`` functions that the program has imported.
        :param checkpoint_config: how the continued run is checkpointed; without it, as the graph in this process is, or as
            the checkpoint records; and always in the backend that it was loaded from, if it was.
        :param rename: recorded node key, class or function to the key of the node that it is in the wired graph.
        :raises GraphRestoreError: a pending node is not available, or is a different one now; or the checkpoint is invalid.
        :raises CheckpointVersionError: it was written in an unknown major version, and no migration is registered.
        """
        from spark.graphs.restored import GivenAnew, restored_arguments  # most graphs are wired by their program

        store = links_of(checkpoint).store
        checkpoint = validated(migrated(checkpoint.isolated()))
        alive = newest(Graph, checkpoint.graph_id)
        known, kept = (alive._topology, alive._arguments) if alive is not None else (None, None)
        topology, checkpoint = find_topology(checkpoint, start=start, alive=known, rename=rename)
        given = GivenAnew(checkpoint_config, max_concurrency)
        graph = cls(topology, **restored_arguments(checkpoint, given, alive=kept, store=store))
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
        """Run until nothing is left to do, or until all remaining work waits for something outside.

        A run begins at the start, with the graph's state, unless there is one to resume. No input is silently dropped:
        pass a resumed run the inputs that it was started with, or none. A complete run returns its stored result again, and
        executes nothing.

        :param task: what to do: a ``Task``, the inputs of one, or nothing.
        :param resume: ``True`` continues from the latest checkpoint of this graph id; without one, the run begins with what the
            graph was made with. ``"state"`` begins a new run, with new inputs, in the state of the latest checkpoint. A
            ``GraphCheckpoint`` continues from that one. ``{id: answer}`` resumes the latest run with answers to questions, by the
            ids in ``message.interrupts``. ``False`` resumes what ``from_checkpoint`` or ``load`` brought in.
        :param rename: recorded node key, class or function to the key of the node that it is in this graph.
        :param wait: False returns when all remaining work waits for a time, a signal or a retry, as ``"waiting"`` until
            ``message.due``. With either value, a run returns as ``"interrupted"`` when only answers, and perhaps times, are
            left to wait for.
        :param claim: True, or a ``Claim``: only one process at a time runs a claimed graph id; all others get a ``ClaimedError``.
        :raises InputConflictError: the run to resume was started with other inputs.
        :raises RunError: a run is under way, or something that only this graph holds would be lost; says what to do.
        :raises BudgetExceededError: a limit of the task's budget was reached; a checkpoint was made.
        :raises CheckpointError: a checkpoint could not be made, or the one to resume from can't be used.
        :raises Exception: whatever a node raised.
        """
        return await self._carry_out(Asked(task, resume, rename, wait, claim))

    async def submit(self, task: Task | Mapping[str, Any] | None = None) -> bool:
        """Store a new run for a worker, here or elsewhere, which finds it with ``resume_all``. False if it is there already.

        When this returns, inputs and state are durable, and no step was taken. After an error, call it again.

        :raises InputConflictError: the graph id has a run, begun or complete, with other inputs.
        :raises GraphDefinitionError: the graph has no store, or the task has a budget, which no checkpoint holds.
        """
        await until_ended(self._left)
        try:
            return await self._call(self._begin("submit")).submit(Task.of(task))
        finally:
            self._handle = None

    def stream(
        self,
        task: Task | Mapping[str, Any] | None = None,
        *,
        resume: Resume = False,
        rename: Mapping[str, str] | None = None,
        wait: bool = True,
        claim: bool | Claim = False,
        **watching: Unpack[Watching],
    ) -> EventStream:
        """Run like ``run``, as a loop over events: ``async for event in graph.stream(task): …``

        The loop begins the run, and raises what ``run`` would raise; afterwards ``stream.message`` has what it would return.
        Leaving the loop early ends the run as a cancellation does: see ``docs/watching.md``.

        :param watching: which events, and when: ``only``, ``nodes``, ``buffer``, ``overflow``, ``commits``; see
            ``spark.graphs.events.Watching``.
        :raises GraphDefinitionError: an argument can't be used.
        """
        from spark.graphs.events.stream import EventStream  # most runs are watched by nobody

        asked, channel = Asked(task, resume, rename, wait, claim), self._new_channel(watching)
        run = partial(self._carry_out, asked, channel)
        return EventStream(channel, run, graph_id=self.graph_id, on_leave=self._left.append)

    def watch(self, **watching: Unpack[Watching]) -> Watcher:
        """The events of the current run, or else of the next one: ``async for event in graph.watch(): …``

        Any number may watch. Arguments are those of ``stream``, but with ``overflow="drop_oldest"`` as the default, so that a run
        is not delayed unnoticed.

        :raises GraphDefinitionError: an argument can't be used.
        """
        from spark.graphs.events.watcher import Watcher

        channel = self._new_channel({"overflow": "drop_oldest", **watching})
        if self._handle is None or not self._handle.join(channel):
            self._channels[:] = [*(each for each in self._channels if not each.is_done), channel]
        return Watcher(channel)

    def drain(self, reason: str = "", *, grace: float = TO_DRAIN) -> bool:
        """Ask the current run to stop at a boundary: it starts nothing new, saves, and returns ``status="drained"``.

        Any task or thread, a signal handler, and a node or hook of the run itself may call it. Called again, it can shorten the
        time. Returns whether a run was there to ask; ``CheckpointManager.drain`` asks one in another process.

        :param reason: what the message says as its ``reason``.
        :param grace: seconds that running nodes get to finish; then they are cancelled, and stay pending. A node that
            ignores its cancellation, or blocks its thread, is abandoned after ``cancel_grace`` more, 5 by default.
        :raises GraphDefinitionError: an argument can't be used.
        """
        request, handle = checked_drain(reason, grace), self._handle
        return handle is not None and handle.drain(request)

    async def load(self, *, rename: Mapping[str, str] | None = None) -> GraphCheckpoint | None:
        """Bring the latest checkpoint of this graph id into the graph; the next ``run`` continues from it.

        Until then ``set_state`` edits its state. Without a checkpoint, the graph is unchanged, and this returns None.

        :param rename: as for ``run``.
        :raises RunError: a run is under way.
        :raises CheckpointError: the checkpoint can't be used.
        """
        await until_ended(self._left)
        self._begin("load")
        try:
            origin = await self._arguments.stored_checkpoints(self._topology, rename, for_result=False).latest_or(
                self._session.given
            )
            found, self._run = self._session.load(origin), None
            return found.isolated() if found is not None else None
        finally:
            self._handle = None

    def with_checkpoints(self, checkpoint_config: CheckpointConfig | None) -> Self:
        """The same graph with other checkpoints: a new one with its nodes, id and committed states, and no pending work."""
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
        """A snapshot of the graph at its last boundary, even during a run.

        Store it with ``await checkpoint.save(backend)``.

        :param checkpoint_id: any id that you like; without one it gets a random one.
        :param metadata: yours, found again in ``execution_metadata['metadata']``.
        :raises InvalidIdError: the id can't be used.
        """
        capture = self._capture(dict(metadata or {}))
        now = self._arguments.clock.utc_now()
        if checkpoint_id is None:  # an empty one is refused, like any other that can't be used
            checkpoint_id = f"ckpt_{now:%Y%m%d_%H%M%S}_m{random_hex(self._arguments.random, size=4)}"
        checkpoint = capture.checkpoint(checkpoint_id, graph_id=self.graph_id, timestamp=now)
        return link(checkpoint.isolated(), observers=self._arguments.observers, codec=self._arguments.own_codec())

    async def get_state(self, key: str, default: Any = None) -> Any:
        """A committed value of the shared state, as your own copy."""
        return snapshot(self._session.state.values.get(key, default))

    async def set_state(self, key: str, value: Any) -> None:
        """Set a value of the shared state between runs; nodes use ``context.graph_state``.

        :raises RunError: a run is under way.
        """
        await until_ended(self._left)
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

    id = graph_id
    """The same."""

    @property
    def nodes(self) -> dict[str, Node]:
        """Node key to node, in the order of discovery."""
        return {key: plan.node for key, plan in self._topology.plans.items()}

    @property
    def topology(self) -> Topology:
        """Its nodes and edges, as they were when it was built."""
        return self._topology

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
        """The node that a run begins with. Setting it rebuilds the graph, with the edges that there are now.

        It keeps the state and discards pending work: the next run begins at the new start.
        """
        return self._topology.first

    @start.setter
    def start(self, node: Node) -> None:
        self._check_idle("start")
        topology = topology_from(node)
        self._arguments.check_nodes(topology)
        self._topology = topology
        self._session.drop_pending()
        self._run = None

    def __repr__(self) -> str:
        return f"<Graph {self._arguments.graph_id!r} with {len(self._topology.plans)} nodes>"

    async def _carry_out(self, asked: Asked, channel: Channel | None = None) -> Message:
        """One call of ``run``.

        :param channel: of whoever drives it to watch it.
        """
        if self._left:
            await until_ended(self._left)
        call = self._begin("run", may_wait=asked.wait)
        if channel is not None:
            self._channels[:] = [*(each for each in self._channels if not each.is_done), channel]
        try:
            return await self._call(call).carry_out(asked)
        finally:
            self._handle = None

    def _capture(self, metadata: dict[str, Any]) -> Capture:
        if self._run is not None:
            return self._run.capture(reason="manual", metadata=metadata)
        pending = self._session.next.pending
        config = self._arguments.to_data(Task(), pending.inputs if pending else None)
        return self._session.capture(self._topology, config=config, metadata=metadata)

    def _call(self, call: RunHandle) -> RunCall:
        return RunCall(self._arguments, self._session, self._topology, call, on_run=self._set_run)

    def _set_run(self, run: GraphRun | None) -> None:
        self._run = run

    def _new_channel(self, watching: Mapping[str, Any]) -> Channel:
        from spark.graphs.events.channel import channel_for

        return channel_for(watching, known=self._topology.plans)

    def _begin(self, what: str, *, may_wait: bool = True) -> RunHandle:
        self._check_idle(what)
        self._handle = RunHandle(is_run=what == "run", may_wait=may_wait, channels=self._channels)
        return self._handle

    def _check_idle(self, what: str) -> None:
        if self._handle is not None:
            raise RunError(
                f"Graph {self.graph_id!r} is running, so {what} has to wait: await the run first, or use another Graph with an "
                "id of its own."
            )
