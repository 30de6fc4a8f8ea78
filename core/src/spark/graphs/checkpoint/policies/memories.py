"""What the triggers of a run remember across a resume: which of them remembers what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """What these triggers remember, and those that they are made of: one line for each that remembers something."""
    remembered: list[dict[str, Any]] = []
    for rule in rules:
        memory = rule.memory()
        if isinstance(rule, CombinedRule):
            remembered += memory or ()
        elif memory is not None:
            remembered.append({"rule": _label(rule), "memory": memory})
    return remembered


def recall_each(rules: Iterable[Remembers], remembered: Any) -> None:
    """Give each trigger what one with its name has remembered, in their order. Others may have been added or removed since."""
    left = [one for one in remembered if isinstance(one, Mapping)] if isinstance(remembered, list) else []
    _recall(rules, left)


def _recall(rules: Iterable[Remembers], left: list[Any]) -> None:
    for rule in rules:
        if isinstance(rule, CombinedRule):
            _recall(rule.rules, left)
            continue
        own = next((one for one in left if one.get("rule") == _label(rule)), None)
        if own is not None:
            left.remove(own)
            rule.recall(own.get("memory"))


def _label(rule: Remembers) -> str:
    return rule.name or class_name(type(rule))
