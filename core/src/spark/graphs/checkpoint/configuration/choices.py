"""The arguments of a configuration that may be names: each becomes an object, and all mistakes are reported together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from spark.graphs.checkpoint.configuration.choosing import all_of, chosen_retention, chosen_trigger
from spark.graphs.checkpoint.encoding.choosing import chosen_codecs, chosen_format, chosen_serializer
from spark.graphs.checkpoint.observers.choosing import chosen_handlers
from spark.graphs.checkpoint.policies.retention import Retention
from spark.graphs.checkpoint.policies.rules import CombinedRule
from spark.graphs.checkpoint.policies.triggers import Trigger
from spark.hooks.choices import choice_of, hidden_options

CHOSEN: Final[dict[str, Callable[..., Any]]] = {
    "trigger": chosen_trigger,
    "retention": chosen_retention,
    "handler": chosen_handlers,
    "format": chosen_format,
    "serializer": chosen_serializer,
    "codec": chosen_codecs,
}
"""Argument to what makes an object of it."""
_SHOW_THEMSELVES: Final = (Trigger, Retention)
"""Rules say in their repr what they do."""


def choose(given: Mapping[str, Any], place: Callable[[str], str]) -> dict[str, Any]:
    """Those of these arguments that may be names and that were given, as objects.

    :param place: says where an argument was given, for messages.
    :raises GraphDefinitionError: some can't be used; names everything that is wrong.
    :raises PluginError: no plugin provides a name.
    """
    names = [name for name in CHOSEN if given.get(name) is not None]
    if not names:
        return {}
    made = all_of([partial(CHOSEN[name], given[name], place=place(name)) for name in names])
    return dict(zip(names, made, strict=True))


def without_secrets(value: Any) -> Any:
    """The value of an argument, as it may be shown: what was chosen by name is shown so, with ``***`` for each secret."""
    if isinstance(value, tuple | list):
        return [without_secrets(each) for each in value]
    choice = choice_of(value)
    if choice is not None and (hidden_options(choice.options) or not isinstance(value, _SHOW_THEMSELVES)):
        return choice.to_data()
    if isinstance(value, CombinedRule):
        shown = [without_secrets(rule) for rule in value.rules]
        return {value.name: shown} if any(isinstance(each, dict) for each in shown) else value
    return value
