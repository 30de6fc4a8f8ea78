"""When is a checkpoint due? Rules that decide at every boundary; ``|`` and ``&`` combine them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.policies.boundary import Boundary
from spark.graphs.checkpoint.policies.rules import CombinedRule, Rule
from spark.graphs.values.loaded import class_name


class Trigger(Rule, ABC):
    """A rule that decides whether a checkpoint is due.

    A plain one holds no state: its answer depends on the boundary alone, so one object serves any number of runs. One that has
    to remember something returns another object from ``start``, which belongs to one run and may keep what it likes.
    """

    @abstractmethod
    def is_due(self, boundary: Boundary) -> bool:
        """Whether to make a checkpoint here. Asked once at each boundary, on the event loop, so it must not wait for anything."""

    def start(self) -> Trigger:
        """The rule of one run, asked for before the run begins. By default this rule itself, which all runs share then."""
        return self

    def recall(self, memory: Any) -> None:
        """Restore what ``memory`` returned at the checkpoint from which the run is resumed; called before the first boundary.

        It comes from the store: check what you rely on.
        """

    def saved(self, boundary: Boundary) -> None:
        """A checkpoint is being made here, whichever rule was due, or because the run ends."""

    def memory(self) -> Any:
        """What to remember when the run is resumed from the checkpoint that is being made: plain data, or None for nothing."""
        return None

    def stop(self) -> None:
        """The run is over, however it ended: let go of what ``start`` took. Called once."""

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

    def __repr__(self) -> str:
        return f"EverySeconds({repr(self.seconds).removesuffix('.0')})"


class AtIterations(Trigger):
    """Due after these node executions: ``AtIterations(10, 100, 1000)``."""

    name = "at_iterations"

    def __init__(self, *iterations: int) -> None:
        if not iterations or not all(type(one) is int and one >= 1 for one in iterations):
            raise GraphDefinitionError(
                f"AtIterations{iterations!r}: give at least one whole number, each of at least 1."
            )
        self.iterations: frozenset[int] = frozenset(iterations)

    def is_due(self, boundary: Boundary) -> bool:
        return boundary.iteration in self.iterations

    def __repr__(self) -> str:
        return f"AtIterations({', '.join(map(repr, sorted(self.iterations)))})"


class AfterNode(Trigger):
    """Due after each execution of one of these nodes, by key, name or class name: ``AfterNode("train", "evaluate")``."""

    name = "after_node"

    def __init__(self, *names: str) -> None:
        if not names or not all(isinstance(name, str) and name for name in names):
            raise GraphDefinitionError(f"AfterNode{names!r}: give at least one node name, each a string.")
        self.names: frozenset[str] = frozenset(names)

    def is_due(self, boundary: Boundary) -> bool:
        return not self.names.isdisjoint(boundary.names)

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

    def __repr__(self) -> str:
        return f"WithinOverhead({self.share})"


class CombinedTrigger(CombinedRule, Trigger):
    """A trigger that is made of others. It starts, notifies and stops each of them, and remembers what they remember."""

    rules: tuple[Trigger, ...]
    _decide: Callable[[Iterable[bool]], bool]
    """What the answers of its rules come to."""

    def __init__(self, *rules: Trigger) -> None:
        self.rules = _flattened(rules, type(self))
        self._is_started = False
        """Its rules belong to one run, so each of them is asked at each boundary."""

    def is_due(self, boundary: Boundary) -> bool:
        answers = (rule.is_due(boundary) for rule in self.rules)
        return self._decide([*answers] if self._is_started else answers)

    def start(self) -> Trigger:
        started: list[Trigger] = []
        try:
            started.extend(rule.start() for rule in self.rules)  # as far as it gets
        except BaseException:
            for rule in started:
                with suppress(Exception):
                    rule.stop()
            raise
        if all(one is rule for one, rule in zip(started, self.rules, strict=True)):
            return self
        combined = type(self)()
        combined.rules, combined._is_started = tuple(started), True
        return combined

    def recall(self, memory: Any) -> None:
        recall_each(self.rules, memory)

    def saved(self, boundary: Boundary) -> None:
        for rule in self.rules:
            rule.saved(boundary)

    def memory(self) -> Any:
        return memories_of(self.rules) or None

    def stop(self) -> None:
        """Stops each of its rules, even if stopping one of them fails."""
        failure: Exception | None = None
        for rule in self.rules:
            try:
                rule.stop()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def nodes(self) -> frozenset[str]:
        return frozenset().union(*(rule.nodes() for rule in self.rules))


class AnyTrigger(CombinedTrigger):
    """Due when any of its rules is: what ``a | b`` makes."""

    name = "any"
    _decide = staticmethod(any)

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.rules))


class AllTriggers(CombinedTrigger):
    """Due when all of its rules are: what ``a & b`` makes."""

    name = "all"
    _decide = staticmethod(all)

    def __repr__(self) -> str:
        return " & ".join(f"({rule!r})" if isinstance(rule, AnyTrigger) else repr(rule) for rule in self.rules)


def memories_of(rules: Iterable[Trigger]) -> list[dict[str, Any]]:
    """What these triggers remember, and those that they are made of: one line for each that remembers something.

    One that remembers nothing has a line, too, if a later one with its name remembers something: they are told by their order.
    """
    lines = [{"rule": _label(rule), "memory": rule.memory()} for rule in _single(rules)]
    last = {line["rule"]: number for number, line in enumerate(lines) if line["memory"] is not None}
    return [line for number, line in enumerate(lines) if number <= last.get(line["rule"], -1)]


def recall_each(rules: Iterable[Trigger], remembered: Any) -> None:
    """Give each trigger what one with its name has remembered, in their order. Others may have been added or removed since."""
    left = [one for one in remembered if isinstance(one, Mapping)] if isinstance(remembered, list) else []
    for rule in _single(rules):
        own = next((one for one in left if one.get("rule") == _label(rule)), None)
        if own is not None:
            left.remove(own)
            if own.get("memory") is not None:
                rule.recall(own["memory"])


def _single(rules: Iterable[Trigger]) -> Iterator[Trigger]:
    for rule in rules:
        if isinstance(rule, CombinedTrigger):
            yield from _single(rule.rules)
        else:
            yield rule


def _label(rule: Trigger) -> str:
    return rule.name or class_name(type(rule))


def _flattened(rules: Iterable[Trigger], kind: type[CombinedTrigger]) -> tuple[Trigger, ...]:
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
