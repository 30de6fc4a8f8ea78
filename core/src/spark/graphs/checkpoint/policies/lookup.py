"""Rules by their names: what a checkpoint records of triggers and retention, how they are made again, and triggers of plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from spark.errors import PluginError
from spark.graphs.checkpoint.policies.retention import AllRetentions, AnyRetention, Retention
from spark.graphs.checkpoint.policies.rules import CombinedRule, Rule
from spark.graphs.checkpoint.policies.triggers import AllTriggers, AnyTrigger, Trigger
from spark.graphs.values.loaded import class_name
from spark.wording import shortened

Kind = TypeVar("Kind", bound=Rule)

UNRECORDED: Final = "unrecorded"
"""Stands in place of a name for a rule that has none; its class is recorded with it."""


class UnknownRuleError(Exception):
    """No rule can be made from what is recorded; the message says why. Never seen by users."""


def trigger_class(name: str) -> type[Trigger]:
    """The class of the trigger that the core or a plugin provides under this name.

    :raises PluginNotFoundError: no installed plugin provides it.
    :raises PluginConflictError: two do.
    :raises PluginBrokenError: one does, and can't be used.
    """
    from spark.hooks.registry import class_of  # not needed by those who give a trigger themselves

    return class_of(("trigger", name), base=Trigger)  # type: ignore[type-abstract]


def retention_class(name: str) -> type[Retention]:
    """The class of the retention rule that the core or a plugin provides under this name.

    :raises PluginError: as ``trigger_class`` does.
    """
    from spark.hooks.registry import class_of  # not needed by those who give a rule themselves

    return class_of(("retention", name), base=Retention)


def rule_to_data(rule: Rule) -> dict[str, Any]:
    """A rule by its name and options: ``{"any": [{"every_iterations": {"count": 5}}, …]}``.

    One that has no name, or options that can't be told, is recorded as lost, by its class. For secret options stands ``***``.
    """
    from spark.hooks.choices import choice_of  # not needed by those who record nothing

    if isinstance(rule, CombinedRule):
        if type(rule) in _COMBINED:
            return {rule.name: [rule_to_data(one) for one in rule.rules]}
        return {UNRECORDED: class_name(type(rule))}
    choice = choice_of(rule)
    if choice is not None and _is_plain(choice.options):
        return choice.to_data()
    name, options = _registered_name(rule), _plain_options(rule)
    if name is None or options is None:
        return {UNRECORDED: class_name(type(rule))}
    return {name: options}


def trigger_from_data(data: Any) -> Trigger:
    """The trigger that ``rule_to_data`` recorded.

    :raises UnknownRuleError: it can't be made from this.
    """
    rule: Trigger = _from_data(data, "trigger", {kind.name: kind for kind in (AnyTrigger, AllTriggers)})
    return rule


def retention_from_data(data: Any) -> Retention:
    """The retention rule that ``rule_to_data`` recorded.

    :raises UnknownRuleError: it can't be made from this.
    """
    rule: Retention = _from_data(data, "retention", {kind.name: kind for kind in (AnyRetention, AllRetentions)})
    return rule


_COMBINED: Final = frozenset({AnyTrigger, AllTriggers, AnyRetention, AllRetentions})


def _from_data(data: Any, kind: str, combined: Mapping[str, Any]) -> Any:
    if not isinstance(data, Mapping) or len(data) != 1:
        raise UnknownRuleError("what is recorded is not a rule")
    name, options = next(iter(data.items()))
    if name == UNRECORDED:
        raise UnknownRuleError(f"a rule of your own is not recorded: {shortened(str(options))}")
    if name in combined:
        return combined[name](*[_from_data(one, kind, combined) for one in _parts(name, options)])
    return _made(kind, name, options)


def _made(kind: str, name: Any, options: Any) -> Any:
    from spark.hooks.choices import hidden_options
    from spark.hooks.options import make
    from spark.hooks.registry import class_of

    try:
        class_of((kind, str(name)))
    except PluginError as error:
        raise UnknownRuleError(str(error).removesuffix(".")) from error
    if isinstance(options, Mapping) and (hidden := hidden_options(options)):
        raise UnknownRuleError(
            f"{name!r} has secret options, which are not recorded: {', '.join(hidden)}. Set them in the table "
            f"[plugins.{name}] of spark.toml"
        )
    try:
        return make(kind, str(name), dict(options), place="recorded")
    except (PluginError, TypeError, ValueError) as error:
        raise UnknownRuleError(f"{name!r} has no such options") from error


def _parts(name: str, options: Any) -> list[Any]:
    if not isinstance(options, list) or not options:
        raise UnknownRuleError(f"{name!r} combines nothing")
    return options


def _registered_name(rule: Rule) -> str | None:
    """The name that leads to the very class of this rule; None where there is none."""
    from spark.hooks.registry import name_of

    return name_of("trigger" if isinstance(rule, Trigger) else "retention", type(rule), likely=rule.name)


def _plain_options(rule: Rule) -> dict[str, Any] | None:
    """The options as plain values, ``***`` for each secret; None where the rule can't tell them."""
    try:
        options = _without_secrets(rule.options(), type(rule))
    except Exception:
        return None
    return options if _is_plain(options) else None


def _without_secrets(options: dict[str, Any], made_by: type) -> dict[str, Any]:
    """The options as they may be stored. A secret that was not given, so that it is the default, is left out."""
    from spark.hooks.choices import hidden_options, without_secret_options
    from spark.hooks.options import parameters

    known, shown = parameters(made_by), without_secret_options(options)
    unset = {name for name in hidden_options(shown) if name in known and known[name].default == options[name]}
    return {name: value for name, value in shown.items() if name not in unset}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and _is_plain(each) for key, each in value.items())
    return all(map(_is_plain, value)) if type(value) is list else type(value) in _SCALARS


_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
