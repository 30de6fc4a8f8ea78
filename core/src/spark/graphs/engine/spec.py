"""What a run is, and what it uses: fixed when it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from spark.graphs.checkpoint.configuration.config import CheckpointConfig
from spark.graphs.checkpoint.policies.run_trigger import RunTrigger
from spark.graphs.checkpoint.recording.saving import Saver
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import Clock
from spark.graphs.definition.topology import Topology
from spark.graphs.engine.step_runner import StepRunner
from spark.graphs.tasks import Budget

if TYPE_CHECKING:
    from spark.graphs.checkpoint.derived.claims import Lease
    from spark.graphs.engine.outcome import Drain

OnFailure: TypeAlias = Literal["finish", "cancel"]

TO_FINISH: Final = 600.0
TO_STOP: Final = 5.0
"""Seconds that running nodes get when another one has failed, unless the graph says otherwise."""


@dataclass(frozen=True, slots=True)
class FailureRule:
    """What happens to the nodes that are running when another one fails."""

    on_failure: OnFailure = "finish"
    """``"finish"``: they run to their end, and what they did counts; ``"cancel"``: they are stopped at once, and repeated."""
    grace: float | None = None
    """Seconds that they get to finish, or to stop; None: 600 to finish, 5 to stop."""

    @property
    def seconds_to_finish(self) -> float:
        """How long the run waits for them where they may finish."""
        return self.grace or TO_FINISH

    @property
    def seconds_to_stop(self) -> float:
        """How long it waits for them once they are stopped."""
        return self.grace if self.on_failure == "cancel" and self.grace is not None else TO_STOP

    def to_data(self) -> dict[str, Any]:
        """The arguments of ``Graph`` that it was made of, which is also what checkpoints record."""
        return {"on_failure": self.on_failure, "failure_grace": self.grace}

    @classmethod
    def recorded_in(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of ``Graph`` that the configuration in a checkpoint records; older releases recorded none."""
        return {name: config[name] for name in cls().to_data() if name in config}


class RunSpec:
    """What a run is.

    :param config: what checkpoints record of how it was started.
    :param is_resumed: whether it continues from a checkpoint.
    :param may_wait: whether it waits for times and signals when nothing else is left, instead of returning.
    :param metrics: what of the state its checkpoints record as metrics.
    :param aside: what they say of other branches of their history.
    """

    __slots__ = (
        "aside",
        "budget",
        "checkpoint_config",
        "config",
        "failure_rule",
        "graph_id",
        "is_resumed",
        "max_concurrency",
        "may_wait",
        "metrics",
        "run_id",
        "topology",
    )

    def __init__(
        self,
        *,
        graph_id: str,
        run_id: str,
        topology: Topology,
        config: dict[str, Any],
        budget: Budget | None,
        max_concurrency: int | None,
        failure_rule: FailureRule,
        checkpoint_config: CheckpointConfig,
        is_resumed: bool,
        may_wait: bool = True,
        metrics: tuple[str, ...] = (),
        aside: str = "",
    ) -> None:
        self.graph_id: Final = graph_id
        self.run_id: Final = run_id
        self.topology: Final = topology
        self.config: Final = config
        self.budget: Final = budget
        self.max_concurrency: Final = max_concurrency
        self.failure_rule: Final = failure_rule
        self.checkpoint_config: Final = checkpoint_config
        self.is_resumed: Final = is_resumed
        self.may_wait: Final = may_wait
        self.metrics: Final = metrics
        self.aside: Final = aside


class Services:
    """What a run uses.

    :param saver: saves its checkpoints; None when it makes none.
    :param trigger: says at which boundaries; its owner stops it.
    :param backend: where the messages are that are sent to the graph; None where none can come.
    :param lease: the claim on the graph that the run holds, if it is to hold one.
    :param drain: stops the run at a boundary; None where nobody can ask for that.
    """

    __slots__ = ("backend", "clock", "drain", "lease", "runner", "saver", "trigger")

    def __init__(
        self,
        *,
        runner: StepRunner,
        saver: Saver | None,
        trigger: RunTrigger,
        clock: Clock,
        backend: CheckpointBackend | None = None,
        lease: Lease | None = None,
        drain: Callable[[Drain], object] | None = None,
    ) -> None:
        self.runner: Final = runner
        self.saver: Final = saver
        self.trigger: Final = trigger
        self.clock: Final = clock
        self.backend: Final = backend
        self.lease: Final = lease
        self.drain: Final = drain
