"""Where is a run, and what may a rule know of it? What triggers decide by."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from spark.graphs.checkpoint.policies.metrics import metric_in, metrics_in


class RunFacts(Protocol):
    """What a boundary shows of a run only to those who ask: nothing here costs anything before."""

    @property
    def run_id(self) -> str:
        """The id of the run."""

    @property
    def state(self) -> Mapping[str, Any]:
        """The committed state of the graph: key to a copy of the value."""

    @property
    def values(self) -> Mapping[str, Any]:
        """The same without copies, for those who only look."""

    @property
    def metrics(self) -> Collection[str]:
        """The names of the metrics that checkpoints of the run record."""

    @property
    def max_iterations(self) -> int | None:
        """What the budget of the run allows."""

    @property
    def max_seconds(self) -> float | None:
        """What the budget of the run allows."""

    @property
    def bytes_since_checkpoint(self) -> int:
        """About how much of the state has changed since the last checkpoint."""


class NoFacts:
    """Of a run of which nothing more is known."""

    run_id = ""
    state: Mapping[str, Any] = MappingProxyType({})
    values: Mapping[str, Any] = state
    metrics: Collection[str] = ()
    max_iterations: int | None = None
    max_seconds: float | None = None
    bytes_since_checkpoint = 0


_NO_FACTS: Final = NoFacts()


class BudgetUse(NamedTuple):
    """How much of its budget a run has used."""

    iterations: int
    """Node executions, counted on across a resume."""
    max_iterations: int | None
    """How many are allowed; None: no limit."""
    seconds: float
    """Since ``run`` was called."""
    max_seconds: float | None
    """How many are allowed; None: no limit."""


@dataclass(slots=True)
class Boundary:
    """Where a run is after a step has committed: all that a trigger may use. Never changed.

    It shows the run as it is while the trigger is asked, so take what you need and don't keep it.
    """

    iteration: int
    """Node executions completed since the run began, counted on across a resume."""
    node: str
    """The key of the node that was executed."""
    names: Collection[str]
    """Every name of that node: its key, its given name, its class."""
    elapsed: float
    """Seconds since ``run`` was called."""
    checkpointed: float
    """``elapsed`` when the last checkpoint of this call was made; 0 before the first."""
    saving: float = 0.0
    """Seconds that this call has waited for checkpoints so far."""
    last_cost: float | None = None
    """How many of those the last one took; None before the first."""
    facts: RunFacts = field(default=_NO_FACTS, repr=False, compare=False)
    """Where the properties below come from."""

    @property
    def state(self) -> Mapping[str, Any]:
        """The committed state of the graph, read-only. Each value that you read is your own copy, made when you read it."""
        return self.facts.state

    def metric(self, name: str) -> int | float | None:
        """The number that the committed state has for a metric, without a copy; None where it is no finite number.

        :param name: a key of the state, ``"loss"``, or the path into a mapping there, ``"eval.loss"``.
        """
        return metric_in(self.facts.values, name)

    @property
    def metadata(self) -> dict[str, Any]:
        """What a checkpoint made here would be found by: ``iteration``, ``last_node``, ``run_id``, and the run's metrics."""
        facts = self.facts
        own = {"iteration": self.iteration, "last_node": self.node, "run_id": facts.run_id}
        return {**metrics_in(facts.values, facts.metrics), **own}

    @property
    def budget(self) -> BudgetUse:
        """How much of its budget the run has used."""
        return BudgetUse(
            iterations=self.iteration,
            max_iterations=self.facts.max_iterations,
            seconds=self.elapsed,
            max_seconds=self.facts.max_seconds,
        )

    @property
    def seconds_since_checkpoint(self) -> float:
        """Seconds since the last checkpoint of this call was made, or since it began."""
        return self.elapsed - self.checkpointed

    @property
    def bytes_since_checkpoint(self) -> int:
        """About how many bytes of state have changed since the last checkpoint of the run: of the values that are new, all of it.

        Before the first checkpoint of a new run that is the whole state. It takes time in proportion to those values.
        """
        return self.facts.bytes_since_checkpoint
