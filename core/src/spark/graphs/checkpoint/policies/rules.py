"""Rules as plain data: what a checkpoint records of triggers and retention, and how they are made again from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self, TypeVar

from spark.errors import GraphDefinitionError
from spark.graphs.values.loaded import class_name

Kind = TypeVar("Kind", bound="Rule")

UNRECORDED: Final = "unrecorded"
"""Stands where a name would, for a rule that no name is known for; with it goes its class."""


class Rule:
    """What triggers and retention have in common: a rule with a name is recorded in checkpoints, and made again from there."""

    name: ClassVar[str] = ""
    """By which it is recorded; none for a rule that is not."""

    def options(self) -> dict[str, Any]:
        """The arguments that make an equal rule, as plain values."""
        return {}

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """The rule with these options.

        :raises Exception: they are not what ``options`` gives.
        """
        return cls(**options)


class CombinedRule(Rule):
    """A rule that is made of others."""

    rules: tuple[Any, ...]


class UnknownRuleError(Exception):
    """What is recorded makes no rule here; the message says why. Never seen by users."""


def by_name(*kinds: type[Kind]) -> dict[str, type[Kind]]:
    """The table in which rules of one sort are looked up."""
    return {kind.name: kind for kind in kinds}


def rule_to_data(rule: Rule, known: Mapping[str, type[Rule]]) -> dict[str, Any]:
    """A rule by its name and options: ``{"any": [{"every_iterations": {"count": 5}}, …]}``."""
    if known.get(rule.name) is not type(rule):  # what inherits a name is another rule
        return {UNRECORDED: class_name(type(rule))}
    if isinstance(rule, CombinedRule):
        return {rule.name: [rule_to_data(one, known) for one in rule.rules]}
    return {rule.name: rule.options()}


def rule_from_data(data: Any, known: Mapping[str, type[Kind]]) -> Kind:
    """The rule that ``rule_to_data`` wrote down.

    :raises UnknownRuleError: it can't be made from this.
    """
    if not isinstance(data, Mapping) or len(data) != 1:
        raise UnknownRuleError("what is recorded is no rule")
    name, options = next(iter(data.items()))
    if name == UNRECORDED:
        raise UnknownRuleError(f"a rule of your own is not recorded: {str(options)[:200]}")
    kind = known.get(name) if isinstance(name, str) else None
    if kind is None:
        raise UnknownRuleError(f"no rule is known by the name {str(name)[:200]!r}")
    if issubclass(kind, CombinedRule):
        return kind(*[rule_from_data(one, known) for one in _parts(name, options)])
    try:
        return kind.from_options(options)
    except (GraphDefinitionError, TypeError, ValueError, KeyError) as error:
        raise UnknownRuleError(f"the options of {name!r} are none that it has") from error


def _parts(name: str, options: Any) -> list[Any]:
    if not isinstance(options, list) or not options:
        raise UnknownRuleError(f"{name!r} combines nothing")
    return options
