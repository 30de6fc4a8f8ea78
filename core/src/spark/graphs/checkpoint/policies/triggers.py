"""When is a checkpoint due? Rules that decide at every boundary; ``|`` and ``&`` combine them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from spark.errors import GraphDefinitionError, RuleError
from spark.graphs.checkpoint.policies.rules import CombinedRule, Rule


@dataclass(slots=True)
class Boundary:
    """Where a run is after a step has committed: all that a trigger may use. Never changed."""

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


class Trigger(Rule, ABC):
    """A rule that says whether a checkpoint is due. It holds no state, so one object serves any number of runs."""

    @abstractmethod
    def is_due(self, boundary: Boundary) -> bool:
        """Whether to make a checkpoint here."""

    def nodes(self) -> frozenset[str]:
        """The node names that the rule refers to; a graph that lacks one of them is refused."""
        return frozenset()

    def __or__(self, other: Trigger) -> Trigger:
        return AnyTrigger(self, _checked(other))

    def __and__(self, other: Trigger) -> Trigger:
        return AllTriggers(self, _checked(other))


class EveryIterations(Trigger):
    """Due after every ``count``-th node execution."""

    name = "every_iterations"

    def __init__(self, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise GraphDefinitionError(f"EveryIterations({count!r}): give a whole number of at least 1.")
        self.count = count

    def is_due(self, boundary: Boundary) -> bool:
        return boundary.iteration % self.count == 0

    def options(self) -> dict[str, Any]:
        return {"count": self.count}

    def __repr__(self) -> str:
        return f"EveryIterations({self.count})"


class EverySeconds(Trigger):
    """Due when a multiple of ``seconds`` since the start of the run was passed without a checkpoint.

    It decides at boundaries only: after a step that took longer than several multiples one checkpoint catches up, and
    the next is due at the following multiple.
    """

    name = "every_seconds"

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise GraphDefinitionError(f"EverySeconds({seconds!r}): give a positive number of seconds.")
        self.seconds = seconds

    def is_due(self, boundary: Boundary) -> bool:
        return boundary.elapsed // self.seconds > boundary.checkpointed // self.seconds

    def options(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def __repr__(self) -> str:
        return f"EverySeconds({self.seconds})"


class AfterNode(Trigger):
    """Due after each execution of one of these nodes, by key, name or class name."""

    name = "after_node"

    def __init__(self, *names: str) -> None:
        if not names or not all(isinstance(name, str) and name for name in names):
            raise GraphDefinitionError(f"AfterNode{names!r}: give at least one node name, each a string.")
        self.names: frozenset[str] = frozenset(names)

    def is_due(self, boundary: Boundary) -> bool:
        return not self.names.isdisjoint(boundary.names)

    def options(self) -> dict[str, Any]:
        return {"names": sorted(self.names)}

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        return cls(*options["names"])

    def nodes(self) -> frozenset[str]:
        return self.names

    def __repr__(self) -> str:
        return f"AfterNode({', '.join(map(repr, sorted(self.names)))})"


class WithinOverhead(Trigger):
    """Due as often as checkpoints take no more than this share of the run's time, as measured; first after the first step.

    What counts is how long the run has waited for checkpoints so far, and that the next one may take as long as the last. So a
    run of short steps is saved rarely, one of long steps after each, whatever the store costs.
    """

    name = "within_overhead"

    def __init__(self, share: float = 0.05) -> None:
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise GraphDefinitionError(f"WithinOverhead({share!r}): give a share of more than 0 and at most 1.")
        self.share = share

    def is_due(self, boundary: Boundary) -> bool:
        last = boundary.last_cost
        return last is None or boundary.saving + last <= self.share * boundary.elapsed

    def options(self) -> dict[str, Any]:
        return {"share": self.share}

    def __repr__(self) -> str:
        return f"WithinOverhead({self.share})"


class AnyTrigger(CombinedRule, Trigger):
    """Due when any of its rules is: what ``a | b`` makes."""

    name = "any"
    rules: tuple[Trigger, ...]

    def __init__(self, *rules: Trigger) -> None:
        self.rules = _flattened(rules, AnyTrigger)

    def is_due(self, boundary: Boundary) -> bool:
        return any(rule.is_due(boundary) for rule in self.rules)

    def nodes(self) -> frozenset[str]:
        return frozenset().union(*(rule.nodes() for rule in self.rules))

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.rules))


class AllTriggers(CombinedRule, Trigger):
    """Due when all of its rules are: what ``a & b`` makes."""

    name = "all"
    rules: tuple[Trigger, ...]

    def __init__(self, *rules: Trigger) -> None:
        self.rules = _flattened(rules, AllTriggers)

    def is_due(self, boundary: Boundary) -> bool:
        return all(rule.is_due(boundary) for rule in self.rules)

    def nodes(self) -> frozenset[str]:
        return frozenset().union(*(rule.nodes() for rule in self.rules))

    def __repr__(self) -> str:
        return " & ".join(f"({rule!r})" if isinstance(rule, AnyTrigger) else repr(rule) for rule in self.rules)


def is_due(trigger: Trigger, boundary: Boundary) -> bool:
    """Whether a trigger says that a checkpoint is due here.

    :raises RuleError: it raised; names the very rule, where it combines several.
    """
    try:
        return trigger.is_due(boundary)
    except Exception as error:
        raise RuleError(
            f"The trigger {type(_guilty(trigger, boundary)).__qualname__} raised {type(error).__name__}: {error}. It had to "
            f"decide whether a checkpoint is due after iteration {boundary.iteration}, of node {boundary.node!r}, which is "
            "committed all the same."
        ) from error


def _guilty(trigger: Trigger, boundary: Boundary) -> Trigger:
    for rule in trigger.rules if isinstance(trigger, AnyTrigger | AllTriggers) else ():
        try:
            rule.is_due(boundary)
        except Exception:
            return _guilty(rule, boundary)
    return trigger


def _flattened(rules: Iterable[Trigger], kind: type[AnyTrigger | AllTriggers]) -> tuple[Trigger, ...]:
    flat: list[Trigger] = []
    for rule in rules:
        flat.extend(rule.rules if isinstance(rule, kind) else (rule,))
    return tuple(flat)


def _checked(rule: Any) -> Trigger:
    if not isinstance(rule, Trigger):
        raise GraphDefinitionError(
            f"{rule!r} is not a trigger; combine triggers with | and &, for instance EveryIterations(5)."
        )
    return rule
