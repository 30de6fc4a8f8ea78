"""The arguments of a configuration that may be names: each becomes an object, and all mistakes are reported together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from spark.graphs.checkpoint.configuration.choosing import all_of, chosen_retention, chosen_trigger
from spark.graphs.checkpoint.observers.choosing import chosen_handlers
from spark.graphs.checkpoint.storage.choosing import chosen_format, chosen_serializer

CHOSEN: Final[dict[str, Callable[..., Any]]] = {
    "trigger": chosen_trigger,
    "retention": chosen_retention,
    "handler": chosen_handlers,
    "format": chosen_format,
    "serializer": chosen_serializer,
}
"""Argument to what makes an object of it."""
ENCODING: Final = ("format", "serializer", "codec")
"""What is said of how checkpoints are written, beside the store."""


def choose(given: Mapping[str, Any], place: Callable[[str], str]) -> dict[str, Any]:
    """Those of these arguments that may be names and that were given, as objects.

    :param place: says where an argument was given, for messages.
    :raises GraphDefinitionError: some can't be used; names everything that is wrong.
    :raises PluginError: no plugin provides a name.
    """
    names = [name for name in CHOSEN if given.get(name) is not None]
    made = all_of([partial(CHOSEN[name], given[name], place=place(name)) for name in names])
    return dict(zip(names, made, strict=True))
