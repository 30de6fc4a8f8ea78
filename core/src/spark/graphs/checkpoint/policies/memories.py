"""What the triggers of a run remember across a resume: which of them remembers what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from spark.graphs.checkpoint.policies.rules import CombinedRule
from spark.graphs.values.loaded import class_name


class Remembers(Protocol):
    """A trigger, as far as it remembers something."""

    @property
    def name(self) -> str:
        """The name that it is chosen by, if any."""

    def memory(self) -> Any:
        """What it remembers."""

    def recall(self, memory: Any) -> None:
        """Take it up again."""


def memories_of(rules: Iterable[Remembers]) -> list[dict[str, Any]]:
    """What these triggers remember, and those that they are made of: one line for each that remembers something.

    One that remembers nothing has a line, too, if a later one with its name remembers something: they are told by their order.
    """
    lines = [{"rule": _label(rule), "memory": rule.memory()} for rule in _single(rules)]
    last = {line["rule"]: number for number, line in enumerate(lines) if line["memory"] is not None}
    return [line for number, line in enumerate(lines) if number <= last.get(line["rule"], -1)]


def recall_each(rules: Iterable[Remembers], remembered: Any) -> None:
    """Give each trigger what one with its name has remembered, in their order. Others may have been added or removed since."""
    left = [one for one in remembered if isinstance(one, Mapping)] if isinstance(remembered, list) else []
    for rule in _single(rules):
        own = next((one for one in left if one.get("rule") == _label(rule)), None)
        if own is not None:
            left.remove(own)
            if own.get("memory") is not None:
                rule.recall(own["memory"])


def _single(rules: Iterable[Remembers]) -> Iterator[Remembers]:
    for rule in rules:
        if isinstance(rule, CombinedRule):
            yield from _single(rule.rules)
        else:
            yield rule


def _label(rule: Remembers) -> str:
    return rule.name or class_name(type(rule))
