"""How checkpoints are written: what of it is recorded, and how a store writes as another one did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.records.formats import Format
from spark.hooks.choices import choice_of

ENCODING: Final = ("format", "serializer", "codec")
"""What is said of it, beside the store."""


def encoding_to_data(codec: RecordCodec) -> dict[str, Any]:
    """What can be recorded of how a store writes: by name and options what was chosen by name; the default is left out."""
    return {name: data for name in ENCODING if (data := _to_data(_part(codec, name)))}


def written_as(codec: RecordCodec, encoding: Mapping[str, Any]) -> RecordCodec:
    """The codec of a store, with those of these choices that the store was not opened with itself.

    :param encoding: ``format``, ``serializer`` and ``codec``, as objects or names.
    """
    missing = {name: value for name, value in encoding.items() if _is_default(_part(codec, name))}
    return codec.varied(**missing) if missing else codec


def _part(codec: RecordCodec, name: str) -> Any:
    return codec.format if name == "format" else codec.codecs if name == "codec" else codec.object_hook


def _is_default(part: Any) -> bool:
    return not part or (isinstance(part, Format) and not _to_data(part) and part.name == "json")


def _to_data(part: Any) -> Any:
    if isinstance(part, list):
        return [data for one in part if (data := _to_data(one))]
    choice = choice_of(part)
    return None if choice is None or (choice.name == "json" and not choice.options) else choice.to_data()
