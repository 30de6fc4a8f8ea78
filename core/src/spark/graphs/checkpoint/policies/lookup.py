"""Rules by their names: what a checkpoint records of triggers and retention, how they are made again, and triggers of plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from spark.graphs.checkpoint.policies.retention import (
    AllRetentions,
    AnyRetention,
    KeepAll,
    KeepFor,
    KeepLast,
    Retention,
)
from spark.graphs.checkpoint.policies.rules import CombinedRule, Rule
from spark.graphs.checkpoint.policies.triggers import (
    AfterNode,
    AllTriggers,
    AnyTrigger,
    EveryIterations,
    EverySeconds,
    Trigger,
    WithinOverhead,
)
from spark.graphs.values.loaded import class_name

Kind = TypeVar("Kind", bound=Rule)

UNRECORDED: Final = "unrecorded"
"""Stands in place of a name for a rule that has none; its class is recorded with it."""


class UnknownRuleError(Exception):
    """No rule can be made from what is recorded; the message says why. Never seen by users."""


def trigger_class(name: str) -> type[Trigger]:
    """The class of the trigger that a plugin provides under this name.

    :raises PluginNotFoundError: no installed plugin provides it.
    :raises PluginConflictError: two do.
    :raises PluginBrokenError: one does, and can't be used.
    """
    from spark.hooks.registry import class_of  # not needed by those who give a trigger themselves

    return class_of(("trigger", name), base=Trigger)  # type: ignore[type-abstract]


def rule_to_data(rule: Rule) -> dict[str, Any]:
    """A rule by its name and options: ``{"any": [{"every_iterations": {"count": 5}}, …]}``."""
    known = _TRIGGERS if isinstance(rule, Trigger) else _RETENTIONS
    if known.get(rule.name) is not type(rule):  # what inherits a name is another rule
        return {UNRECORDED: class_name(type(rule))}
    if isinstance(rule, CombinedRule):
        return {rule.name: [rule_to_data(one) for one in rule.rules]}
    return {rule.name: rule.options()}


def trigger_from_data(data: Any) -> Trigger:
    """The trigger that ``rule_to_data`` recorded.

    :raises UnknownRuleError: it can't be made from this.
    """
    return _from_data(data, _TRIGGERS)


def retention_from_data(data: Any) -> Retention:
    """The retention rule that ``rule_to_data`` recorded.

    :raises UnknownRuleError: it can't be made from this.
    """
    return _from_data(data, _RETENTIONS)


def _from_data(data: Any, known: Mapping[str, type[Kind]]) -> Kind:
    if not isinstance(data, Mapping) or len(data) != 1:
        raise UnknownRuleError("what is recorded is not a rule")
    name, options = next(iter(data.items()))
    if name == UNRECORDED:
        raise UnknownRuleError(f"a rule of your own is not recorded: {str(options)[:200]}")
    kind = known.get(name)
    if kind is None:
        raise UnknownRuleError(f"there is no rule with the name {str(name)[:200]!r}")
    if issubclass(kind, CombinedRule):
        return kind(*[_from_data(one, known) for one in _combined(name, options)])
    try:
        return kind.from_options(options)
    except (TypeError, ValueError, KeyError) as error:
        raise UnknownRuleError(f"{name!r} has no such options") from error


def _combined(name: str, options: Any) -> list[Any]:
    if not isinstance(options, list) or not options:
        raise UnknownRuleError(f"{name!r} combines nothing")
    return options


def _by_name(*kinds: type[Kind]) -> dict[str, type[Kind]]:
    return {kind.name: kind for kind in kinds}


_TRIGGERS: Final = _by_name(EveryIterations, EverySeconds, AfterNode, WithinOverhead, AnyTrigger, AllTriggers)
_RETENTIONS: Final = _by_name(KeepLast, KeepFor, KeepAll, AnyRetention, AllRetentions)
