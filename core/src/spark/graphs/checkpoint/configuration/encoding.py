"""How checkpoints are written: a format, a serializer and codecs that were chosen, as objects, as recorded, and in a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.records.codecs import Codec
from spark.graphs.checkpoint.records.formats import Format
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, is_serializer

ENCODING: Final = ("format", "serializer", "codec")
"""What is said of it, beside the store."""


def chosen_format(given: Any, *, place: str) -> Format | str:
    """The format that was chosen; one by its name alone stays a name, for the backend may have more to say of it.

    :raises GraphDefinitionError: it is none, or its options don't fit.
    :raises PluginError: no plugin provides it.
    """
    if given == "json":  # the default, which needs no look-up
        return "json"
    made: Format = _chosen("format", given, Format, place)
    return given if isinstance(given, str) else made


def chosen_serializer(given: Any, *, place: str) -> CheckpointSerializer:
    """The serializer that was chosen.

    :raises GraphDefinitionError: it is none, or its options don't fit.
    :raises PluginError: no plugin provides it.
    """
    made: CheckpointSerializer = (
        given if is_serializer(given) else _chosen("serializer", given, CheckpointSerializer, place)
    )
    return made


def chosen_codecs(given: Any, *, place: str) -> list[Codec]:
    """The codec that was chosen, or several in a list.

    :raises GraphDefinitionError: one is none, or its options don't fit.
    :raises PluginError: no plugin provides it.
    """
    several = isinstance(given, Sequence) and not isinstance(given, str)
    return [_chosen("codec", one, Codec, place) for one in (given if several else [given])]


def encoding_to_data(codec: RecordCodec) -> dict[str, Any]:
    """What can be recorded of how a store writes: by name and options what was chosen by name; the default is left out."""
    found = {name: _to_data(_part(codec, name)) for name in ENCODING}
    return {name: data for name, data in found.items() if data}


def written_as(codec: RecordCodec, encoding: Mapping[str, Any]) -> RecordCodec:
    """The codec of a store, with those of these choices that the store was not opened with itself.

    :param encoding: ``format``, ``serializer`` and ``codec``, as objects or names.
    """
    missing = {name: value for name, value in encoding.items() if _is_default(_part(codec, name))}
    return codec.varied(**missing) if missing else codec


def _chosen(kind: str, given: Any, base: Any, place: str) -> Any:
    if isinstance(given, base):
        return given
    from spark.hooks.options import chosen  # not needed by those who choose nothing by name

    return chosen(kind, given, base=base, place=place)


def _part(codec: RecordCodec, name: str) -> Any:
    return {"format": codec.format, "serializer": codec.object_hook, "codec": codec.codecs}[name]


def _is_default(part: Any) -> bool:
    return not part or (isinstance(part, Format) and not _to_data(part) and part.name == "json")


def _to_data(part: Any) -> Any:
    from spark.hooks.choices import choice_of

    if isinstance(part, Sequence):
        return [data for one in part if (data := _to_data(one))]
    choice = choice_of(part)
    is_default = choice is None or (choice.name == "json" and not choice.options)
    return None if choice is None or is_default else choice.to_data()
