"""What says how checkpoints are written, as objects: made of a name under which a plugin provides one, or ``{name: options}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.records.codecs import Codec
from spark.graphs.checkpoint.records.formats import Format
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, is_serializer
from spark.graphs.values.loaded import class_name

T = TypeVar("T")
Chosen: TypeAlias = T | str | Mapping[str, Mapping[str, Any]]
"""An object, the name under which a plugin provides one, or a name and options."""

_CODEC_NAME: Final = r"[a-z][a-z0-9_.-]*"


def chosen_format(given: Any, *, place: str) -> Format | str:
    """The format that was chosen; one by its name alone stays a name, for the backend may have more to say of it.

    :param place: where it was chosen, for messages.
    :raises GraphDefinitionError: it is none, or its options don't fit.
    :raises PluginError: no plugin provides it.
    """
    made: Format = _chosen("format", given, Format, place)
    return given if isinstance(given, str) else made


def made_format(given: Any, *, pretty_print: bool) -> Format:
    """The format that a backend was given.

    :raises GraphDefinitionError: as above; or ``pretty_print`` is not one of its options.
    :raises PluginError: no plugin provides it.
    """
    if pretty_print:
        if isinstance(given, Format):
            raise GraphDefinitionError(
                f"pretty_print=True is for a format that is given by name. Give it to the format: {class_name(type(given))}"
                "(pretty_print=True)."
            )
        name, options = (given, {}) if isinstance(given, str) else next(iter(given.items()))
        given = {name: {"pretty_print": True} | options}
    made: Format = _chosen("format", given, Format, "format")
    return made


def chosen_codecs(given: Any, *, place: str) -> list[Codec]:
    """The codecs that were chosen, in their order: none for None, one, or a list of them.

    :raises GraphDefinitionError: one is none, its options don't fit, or two have one name.
    :raises PluginError: no plugin provides one.
    """
    each_given = [] if given is None else given if isinstance(given, list | tuple) else [given]
    codecs = [_chosen("codec", each, Codec, place) for each in each_given]
    names = [getattr(codec, "name", None) for codec in codecs]
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(_CODEC_NAME, name):
            raise GraphDefinitionError(
                f"{place}: records can't call a codec {name!r}. Give its class a name of lower case letters, digits, '_', '.' "
                "and '-', a letter first."
            )
    if len({*names}) < len(names):
        raise GraphDefinitionError(
            f"{place}: two codecs have one name, by which records tell them: {', '.join(map(str, names))}."
        )
    return codecs


def chosen_serializer(given: Any, *, place: str) -> CheckpointSerializer:
    """The serializer that was chosen.

    :raises GraphDefinitionError: it is none, or its options don't fit.
    :raises PluginError: no plugin provides it.
    """
    made: CheckpointSerializer = (
        given if is_serializer(given) else _chosen("serializer", given, CheckpointSerializer, place)
    )
    return made


ENCODING: Final[dict[str, Callable[..., Any]]] = {
    "format": chosen_format,
    "serializer": chosen_serializer,
    "codec": chosen_codecs,
}
"""Argument to what makes an object of it."""


def _chosen(kind: str, given: Any, base: Any, place: str) -> Any:
    if isinstance(given, base):
        return given
    from spark.hooks.options import chosen  # not needed by those who give an object

    return chosen(kind, given, base=base, place=place)
