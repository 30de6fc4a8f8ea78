"""How checkpoints are written, as objects: an instance, a name, or ``{name: options}``."""

from __future__ import annotations

from typing import Any

from spark.graphs.checkpoint.records.formats import Format
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, is_serializer


def chosen_format(given: Any, *, place: str) -> Format | str:
    """The format that was chosen; one by its name alone stays a name, for the backend may have more to say of it.

    :raises GraphDefinitionError: it is none, or its options don't fit.
    :raises PluginError: no plugin provides it.
    """
    if isinstance(given, Format):
        return given
    if given == "json":  # the default, which needs no look-up
        return "json"
    from spark.hooks.options import chosen  # not needed by those who choose nothing by name

    made = chosen("format", given, base=Format, place=place)  # type: ignore[type-abstract]
    return given if isinstance(given, str) else made


def chosen_serializer(given: Any, *, place: str) -> CheckpointSerializer:
    """The serializer that was chosen.

    :raises GraphDefinitionError: it is none, or its options don't fit.
    :raises PluginError: no plugin provides it.
    """
    if is_serializer(given):
        made: CheckpointSerializer = given
        return made
    from spark.hooks.options import chosen

    return chosen("serializer", given, base=CheckpointSerializer, place=place)
