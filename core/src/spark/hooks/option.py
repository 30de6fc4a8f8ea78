"""Which options does something take? Read from the pydantic model that its spec names, or else from its class's signature."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from spark.hooks.options import parameters, spelt, type_of_option
from spark.hooks.registry import class_of, options_model_of


@dataclass(frozen=True, slots=True)
class Option:
    """An option of what a plugin provides."""

    name: str
    type: str
    """In the words of Python, without modules; empty where its author gives none."""
    default: str
    """As Python would write it; empty where there is none, so that the option must be given."""


def options_of(kind: str, name: str) -> list[Option]:
    """The options of what has this name, such as ``options_of("trigger", "every_seconds")``. Its class is imported for this.

    :raises PluginError: as ``class_of`` does.
    """
    model = options_model_of((kind, name))
    if model is None:
        made_by = class_of((kind, name))
        return [_option(each, made_by) for each in parameters(made_by).values()]
    return [
        Option(
            key,
            spelt(each.annotation),
            "" if each.is_required() else _default(each.get_default(call_default_factory=True)),
        )
        for key, each in model.model_fields.items()
    ]


def _option(parameter: inspect.Parameter, made_by: type) -> Option:
    default = "[]" if parameter.kind is parameter.VAR_POSITIONAL else _default(parameter.default)
    return Option(parameter.name, type_of_option(parameter, made_by), default)


def _default(value: object) -> str:
    return "" if value is inspect.Parameter.empty else repr(value)
