"""The arguments of a configuration that may be names: each becomes an object, and all mistakes are reported together.

A rule is an instance, a name, ``{name: options}``, several of these, or ``any`` or ``all`` of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Generic, TypeVar

from spark.errors import GraphDefinitionError, PluginError
from spark.graphs.checkpoint.encoding.choosing import ENCODING
from spark.graphs.checkpoint.observers.choosing import chosen_handlers
from spark.graphs.checkpoint.policies.retention import AllRetentions, AnyRetention, Retention
from spark.graphs.checkpoint.policies.rules import CombinedRule
from spark.graphs.checkpoint.policies.triggers import AllTriggers, AnyTrigger, Trigger
from spark.hooks.choices import choice_of, hidden_options
from spark.wording import kind_of

Kind = TypeVar("Kind")


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


def chosen_trigger(given: Any, *, place: str) -> Trigger:
    """The trigger that was chosen; of several in one mapping, any.

    :raises GraphDefinitionError: it is none, or its options don't fit; names everything that is wrong.
    :raises PluginError: no plugin provides a name.
    """
    return _TRIGGERS.chosen(given, place)


def chosen_retention(given: Any, *, place: str) -> Retention:
    """The retention rule that was chosen; of several in one mapping, any: what one of them keeps is kept.

    :raises GraphDefinitionError: it is none, or its options don't fit; names everything that is wrong.
    :raises PluginError: no plugin provides a name.
    """
    if isinstance(given, Mapping):
        _refuse_old_retention(given, place)
    return _RETENTIONS.chosen(given, place)


def all_of(calls: Iterable[Callable[[], Kind]]) -> list[Kind]:
    """What these calls return, once all of them have been tried.

    :raises GraphDefinitionError: some failed; says what each of them said. Where one failed, its own error is raised.
    """
    results: list[Kind] = []
    errors: list[GraphDefinitionError | PluginError] = []
    for call in calls:
        try:
            results.append(call())
        except (GraphDefinitionError, PluginError) as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        kinds = {type(error) for error in errors}
        kind = kinds.pop() if len(kinds) == 1 else GraphDefinitionError
        raise kind("\n".join(map(str, errors))) from errors[0]
    return results


class _Rules(Generic[Kind]):
    """How one kind of rule is chosen.

    :param combined: the rules that are made of a list of others, by their names.
    """

    def __init__(self, kind: str, base: type[Kind], combined: Mapping[str, Callable[..., Kind]]) -> None:
        self.kind = kind
        self.base = base
        self.combined = combined

    def chosen(self, given: Any, place: str) -> Kind:
        """The rule that was given, by itself, by name, or as several."""
        if isinstance(given, self.base):
            return given
        if isinstance(given, list | tuple):
            raise GraphDefinitionError(
                f'{place}: of several, say how they combine. Write {{"any": […]}} if one is enough, {{"all": […]}} if all '
                f"have to agree; in a file, any = […] or all = […] in the table [checkpoint.{self.kind}]."
            )
        if isinstance(given, str) and given in self.combined:
            return self._named(given, None, place)
        if not isinstance(given, Mapping) or not given:
            return self._made(given, place)
        rules = all_of([partial(self._named, name, value, place) for name, value in given.items()])
        return rules[0] if len(rules) == 1 else self.combined["any"](*rules)

    def _named(self, name: Any, value: Any, place: str) -> Kind:
        if name not in self.combined:
            return self._made({name: value}, place)
        if not isinstance(value, list | tuple) or not value:
            raise GraphDefinitionError(
                f"{place}.{name}: give an array of rules, each a name or {{name: {{option: value}}}}; it is "
                f"{kind_of(value) if value else 'empty'}."
            )
        rules = all_of([partial(self.chosen, one, f"{place}.{name}[{number}]") for number, one in enumerate(value)])
        return self.combined[name](*rules)

    def _made(self, given: Any, place: str) -> Kind:
        from spark.hooks.options import chosen  # not needed by those who give a rule themselves

        return chosen(self.kind, given, base=self.base, place=place)


CHOSEN: Final[dict[str, Callable[..., Any]]] = {
    "trigger": chosen_trigger,
    "retention": chosen_retention,
    "handler": chosen_handlers,
    **ENCODING,
}
"""Argument to what makes an object of it."""
_SHOW_THEMSELVES: Final = (Trigger, Retention)
"""Rules say in their repr what they do."""


_TRIGGERS: Final = _Rules("trigger", Trigger, {"any": AnyTrigger, "all": AllTriggers})  # type: ignore[type-abstract]
_RETENTIONS: Final = _Rules("retention", Retention, {"any": AnyRetention, "all": AllRetentions})
_OLD_RETENTION: Final = {
    "last": "keep_last",
    "days": "keep_for",
    "hours": "keep_for",
    "minutes": "keep_for",
    "seconds": "keep_for",
}
"""What people write who think of a number or of a span of time, and the name of the rule that takes it."""


def _refuse_old_retention(given: Mapping[Any, Any], place: str) -> None:
    complaints = [
        f"{place}.{name}: this is an option of a rule. Write {{{rule!r}: {{{option!r}: …}}}}, in a file the table "
        f"[checkpoint.retention.{rule}] with {option} = …."
        for name in given
        if (rule := _OLD_RETENTION.get(name)) and (option := "count" if name == "last" else name)
    ]
    if complaints:
        raise GraphDefinitionError("\n".join(complaints))
