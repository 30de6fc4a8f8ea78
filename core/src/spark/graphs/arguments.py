"""The arguments of a graph, checked: an error says what to give instead."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Final

from spark.errors import GraphDefinitionError, SparkWarning
from spark.graphs.checkpoint.configuration.config import CheckpointConfig, are_seconds
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.ids import check_graph_id
from spark.graphs.checkpoint.observers.observers import Observers
from spark.graphs.checkpoint.policies.run_trigger import NO_TRIGGER, RunTrigger
from spark.graphs.checkpoint.recording.recorder import Recorder
from spark.graphs.checkpoint.recording.saving import saver_for
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import Clock, random_hex
from spark.graphs.definition.nodes import Node
from spark.graphs.definition.policies import StepPolicy
from spark.graphs.definition.topology import Topology
from spark.graphs.engine.draining import RunHandle
from spark.graphs.engine.run import GraphRun
from spark.graphs.engine.spec import FailureRule, RunSpec, Services
from spark.graphs.engine.step_runner import StepRunner
from spark.graphs.engine.waiting.attempts import Attempts
from spark.graphs.resuming.origin import Origin
from spark.graphs.resuming.restore import NothingRecorded
from spark.graphs.resuming.session import GraphSession, StoredCheckpoints
from spark.graphs.state.journal import Entry
from spark.graphs.tasks import Task
from spark.graphs.values.snapshots import Check

if TYPE_CHECKING:
    from spark.graphs.checkpoint.derived.claims import Claim, Lease
    from spark.graphs.engine.placing import Placement

_DEFAULTS: Final = CheckpointConfig()
_LOG = logging.getLogger("spark.checkpoint")


class Arguments:
    """The arguments of a graph, checked, and what its runs are made of.

    :param id: None for a random one.
    :raises GraphDefinitionError: one of them can't be used.
    """

    __slots__ = (
        "backend",
        "checkpoint_config",
        "clock",
        "failure_rule",
        "graph_id",
        "is_named",
        "max_concurrency",
        "node_threads",
        "observers",
        "policy",
        "random",
        "record_codec",
    )

    def __init__(
        self,
        *,
        id: str | None,
        checkpoint_config: Any,
        max_concurrency: Any,
        node_threads: Any,
        on_failure: Any,
        failure_grace: Any,
        policy: StepPolicy,
        clock: Clock,
        random: Random,
    ) -> None:
        self.graph_id: Final = check_graph_id(id) if id is not None else f"graph_{random_hex(random, size=6)}"
        self.is_named: Final = id is not None
        """Whether the id was given, and is not a random one."""
        config = _checked_config(checkpoint_config)
        backend = config.open_backend() if config is not None and config.enabled else None
        self.checkpoint_config: Final = config
        self.backend: Final = backend
        """Where checkpoints go; None when none are made."""
        if config is not None and backend is not None and config.combined_trigger() is not None:
            _log_if_in_memory(backend, graph_id=self.graph_id)
        self.record_codec: Final = config.record_codec(backend) if config is not None and backend is not None else None
        """What encodes them: the backend's own, unless a restored graph wrote in another way."""
        self.observers: Final = config.observers() if config is not None else Observers()
        self.max_concurrency: Final = _checked_concurrency(max_concurrency)
        self.node_threads: Final = _checked_threads(node_threads)
        self.failure_rule: Final = _checked_failure_rule(on_failure, failure_grace)
        self.policy: Final = policy
        """What it says of steps that fail or take too long."""
        self.clock: Final = clock
        self.random: Final = random

    def to_repeat(self) -> dict[str, Any]:
        """The arguments of ``Graph`` that a copy with other checkpoints has in common with it."""
        return {
            "max_concurrency": self.max_concurrency,
            "node_threads": self.node_threads,
            **self.failure_rule.to_data(),
            **self.policy.to_repeat(),
            "clock": self.clock,
            "random": self.random,
        }

    @property
    def check(self) -> Check | None:
        """Whether a value can be saved where the checkpoints go, if they go anywhere."""
        return self.record_codec.check if self.record_codec is not None else None

    def config_in(self, store: CheckpointBackend | None) -> CheckpointConfig | None:
        """How the graph is checkpointed, in this store or, without one, in the very backend that the graph has."""
        return self.checkpoint_config.moved_to(store or self.backend) if self.checkpoint_config else None

    def own_codec(self) -> tuple[CheckpointBackend, RecordCodec] | None:
        """The backend and what encodes checkpoints for it, if that is not its own codec."""
        if self.backend is None or self.record_codec is None or self.record_codec is self.backend.record_codec:
            return None
        return self.backend, self.record_codec

    def stored_checkpoints(
        self, topology: Topology, rename: Mapping[str, str] | None, *, for_result: bool
    ) -> StoredCheckpoints:
        """Those of this graph id, for a graph of this shape."""
        return StoredCheckpoints(self.graph_id, self.backend, topology, rename, for_result=for_result)

    def new_recorder(self) -> Recorder | None:
        """A recorder for the checkpoints of one run; None when it makes none."""
        if self.backend is None or self.checkpoint_config is None:
            return None
        return Recorder(
            graph_id=self.graph_id,
            backend=self.backend,
            retention=self.checkpoint_config.combined_retention(),
            observers=self.observers,
            clock=self.clock,
            random=self.random,
            codec=self.record_codec,
        )

    def new_trigger(self, origin: Origin) -> RunTrigger:
        """What says where a run makes checkpoints that begins there; started when it is entered."""
        config, pending = self.checkpoint_config, origin.pending
        trigger = config.trigger_for(self.backend) if config is not None and self.backend is not None else None
        if trigger is None:
            return NO_TRIGGER
        remembered = pending.checkpoint.execution_metadata.get("triggers") if pending is not None else None
        return RunTrigger(trigger, remembered=remembered, check=self.check)

    async def offer(self) -> None:
        """Note in the store that the graph has a run for whoever looks next."""
        from spark.graphs.checkpoint.derived.claims import offer

        assert self.backend is not None
        await offer(self.backend, self.graph_id, clock=self.clock)

    async def take_claim(self, given: Claim | bool, *, call: RunHandle) -> Lease:
        """The claim on the graph, taken, and kept until it is released.

        :param given: what ``run(claim=…)`` was given.
        :param call: is stopped when somebody else has taken it over.
        :raises ClaimedError: somebody else holds it.
        :raises GraphDefinitionError: it is no claim, or the graph has no store.
        """
        from spark.graphs.checkpoint.derived.claims import Claim, Lease  # most runs claim nothing

        claim = Claim.of(given)
        if self.backend is None:
            raise GraphDefinitionError(
                f"run(claim=…): graph {self.graph_id!r} has no store in which others could see the claim; give it a "
                "checkpoint_config with a backend, for instance CheckpointConfig(backend='sqlite:///runs.db')."
            )
        lease = Lease(
            claim,
            self.backend,
            self.graph_id,
            clock=self.clock,
            random=self.random,
            on_lost=call.lose,
            on_renewed=call.look_for_requests,
        )
        await lease.take()
        return lease

    def new_run(
        self,
        topology: Topology,
        origin: Origin,
        task: Task,
        *,
        inputs: Mapping[str, Any] | None,
        session: GraphSession,
        recorder: Recorder | None,
        trigger: RunTrigger,
        answered: Mapping[str, Entry],
        received: Mapping[str, Any],
        call: RunHandle,
    ) -> GraphRun:
        """A run that begins where the graph stands, with the pending work of the origin."""
        pending, config = origin.pending, self.checkpoint_config or _DEFAULTS
        spec = RunSpec(
            graph_id=self.graph_id,
            run_id=(pending.run_id if pending else None) or random_hex(self.random, size=8),
            topology=topology,
            config=self.to_data(task, inputs),
            budget=task.budget,
            max_concurrency=self.max_concurrency,
            failure_rule=self.failure_rule,
            checkpoint_config=config,
            is_resumed=pending is not None,
            may_wait=call.may_wait,
            metrics=config.recorded_metrics() if recorder is not None else (),
            aside=str(recorder.history.aside) if recorder is not None else "",
        )
        position = origin.position(
            topology,
            inputs,
            state=session.state,
            node_states=session.node_states,
            check=self.check,
            attempts=Attempts(self.clock, self.random, default=self.policy, records_errors=config.record_errors),
            answered=answered,
        )
        if received:
            position.frontier.received.load(received)
        services = Services(
            runner=self._new_runner(topology),
            saver=saver_for(recorder, durability=config.durability) if recorder is not None else None,
            trigger=trigger,
            clock=self.clock,
            backend=self.backend,
            lease=call.lease,
            drain=call.drain,
        )
        return GraphRun(spec, position, services)

    def _new_runner(self, topology: Topology) -> StepRunner:
        limits = topology.watched_nodes(self.policy)
        if not topology.has_placed_nodes(self.policy):
            return StepRunner(topology.plans, threads=self.node_threads, limits=limits, clock=self.clock)
        placement = self._placement(topology)
        placement.open()
        return StepRunner(
            topology.plans,
            threads=self.node_threads,
            limits=limits,
            clock=self.clock,
            pools=placement.pools,
            remote=placement.remote,
            on_close=placement.close,
        )

    def _placement(self, topology: Topology) -> Placement:
        from spark.graphs.engine.placing import Placement  # most graphs run in one process

        return Placement(topology, self.policy, codec=self.record_codec)

    def to_data(self, task: Task, inputs: Mapping[str, Any] | None) -> dict[str, Any]:
        """What checkpoints record of how a run was started. Inputs that are not known are None."""
        return {
            "enable_state": True,
            "mode": str(task.type),
            "max_concurrency": self.max_concurrency,
            "node_threads": self.node_threads,
            **self.failure_rule.to_data(),
            **self.policy.to_data(),
            "checkpoint": self.checkpoint_config and self._config_to_data(self.checkpoint_config),
            "serializer": self.record_codec.serializer if self.record_codec is not None else "",
            **({"inputs": inputs} if inputs is not None else {}),
        }

    def _config_to_data(self, config: CheckpointConfig) -> dict[str, Any]:
        return config.to_data() | (self.record_codec.chosen_as if self.record_codec is not None else {})

    def check_nodes(self, topology: Topology) -> None:
        """Whether the graph has the nodes that its triggers name, and each can run where it, or the graph, says.

        :raises GraphDefinitionError: it is not so.
        :raises PluginError: nothing has the name that was given for an executor.
        """
        if topology.has_placed_nodes(self.policy):
            self._placement(topology)
        trigger = self.checkpoint_config.combined_trigger() if self.checkpoint_config else None
        if trigger is None or isinstance(topology.first, NothingRecorded):
            return
        known = frozenset[str]().union(*(plan.names for plan in topology.plans.values()))
        unknown = sorted(trigger.nodes() - known)
        if unknown:
            raise GraphDefinitionError(
                f"Graph {self.graph_id!r} has no node {', '.join(map(repr, unknown))} to make a checkpoint after. Its nodes are "
                f"{', '.join(map(repr, sorted(known)))}; a trigger takes a node's key, name or class name. "
                "A restored graph has the triggers that its checkpoint records; for others, pass checkpoint_config= to "
                "Graph.from_checkpoint()."
            )

    def warn_of_random_id(self) -> None:
        """Warn if no other process could find the checkpoints."""
        if self.is_named or self.backend is None or not self.backend.persistent:
            return
        warnings.warn(
            f"The graph keeps checkpoints in the {self.backend.name} backend under the random id {self.graph_id!r}, which "
            "another process could not find again. Give it one: Graph(id='…').",
            SparkWarning,
            stacklevel=3,
        )


def chosen_id(id: str | None, graph_id: str | None) -> str | None:
    """The graph id, which may be given in one of two ways, or not at all."""
    if id is not None and graph_id is not None and id != graph_id:
        raise GraphDefinitionError(f"Graph(id={id!r}, graph_id={graph_id!r}): both mean the same; give one.")
    return id if id is not None else graph_id


def topology_from(start: Any) -> Topology:
    """The shape of the graph that begins with this node, as it is wired now; or the shape that was given."""
    if isinstance(start, Topology):
        return start
    topology = Topology(_checked_start(start))
    topology.check_maps()
    return topology


def check_reachable(topology: Topology, nodes: Sequence[Node]) -> None:
    """Whether all these nodes are in the graph."""
    reachable = {id(plan.node) for plan in topology.plans.values()}
    lost = [node.label() for node in nodes if id(node) not in reachable]
    if lost:
        raise GraphDefinitionError(
            f"No edge leads from the start {topology.first.label()!r} to {', '.join(map(repr, lost))}; wire it with >>, or "
            "leave it out of nodes=."
        )


def _checked_start(start: Any) -> Node:
    """The start itself, when it is a node."""
    if isinstance(start, Node):
        return start
    hint = " This is the class; add () to make a node." if isinstance(start, type) and issubclass(start, Node) else ""
    raise GraphDefinitionError(f"Graph(start={start!r}): the start is a node.{hint}")


def _checked_config(config: Any) -> CheckpointConfig | None:
    """The configuration itself, when it is one."""
    if config is None or isinstance(config, CheckpointConfig):
        return config
    raise GraphDefinitionError(
        f"Graph(checkpoint_config={config!r}): give a CheckpointConfig, for instance CheckpointConfig(trigger_on_iteration=10)."
    )


def _checked_concurrency(limit: Any) -> int | None:
    """The limit itself, when it is one."""
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1):
        return limit
    raise GraphDefinitionError(
        f"Graph(max_concurrency={limit!r}): give a whole number of at least 1, or None for no limit."
    )


def _checked_threads(most: Any) -> int:
    """The number itself, when threads can be that many."""
    if isinstance(most, int) and not isinstance(most, bool) and most >= 1:
        return most
    raise GraphDefinitionError(f"Graph(node_threads={most!r}): give a whole number of at least 1.")


def _checked_failure_rule(on_failure: Any, failure_grace: Any) -> FailureRule:
    """What is to happen to the others when a node fails, when this says so."""
    if on_failure not in ("finish", "cancel"):
        raise GraphDefinitionError(f"Graph(on_failure={on_failure!r}): give 'finish' or 'cancel'.")
    if failure_grace is not None and not are_seconds(failure_grace):
        raise GraphDefinitionError(
            f"Graph(failure_grace={failure_grace!r}): give a positive number of seconds, or None for the default."
        )
    return FailureRule(on_failure, failure_grace)


def _log_if_in_memory(backend: CheckpointBackend, *, graph_id: str) -> None:
    """Tell whoever asked for checkpoints that they end with the process."""
    if not backend.persistent:
        _LOG.info(
            "Graph %r makes checkpoints in memory, so they end with this process. To keep them, give CheckpointConfig a backend, "
            "for instance backend='sqlite:///runs.db'.",
            graph_id,
        )
