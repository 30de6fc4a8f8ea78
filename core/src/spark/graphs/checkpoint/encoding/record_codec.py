"""Checkpoint ↔ record, in one format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias, TypeVar

from spark.errors import DeserializationError, GraphDefinitionError
from spark.graphs.checkpoint.encoding.decoder import Decoder, check_intact
from spark.graphs.checkpoint.encoding.encoder import Checksum, Encoder, packed_payload
from spark.graphs.checkpoint.encoding.recorded import name_of
from spark.graphs.checkpoint.records.checksum import checksum as made_checksum
from spark.graphs.checkpoint.records.codecs import Codec
from spark.graphs.checkpoint.records.compression import compression_name
from spark.graphs.checkpoint.records.formats import Format
from spark.graphs.checkpoint.records.limits import ReadLimits, for_writing
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, is_hook
from spark.graphs.values.loaded import class_name

_CODEC_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]*")
T = TypeVar("T")
Chosen: TypeAlias = T | str | Mapping[str, Mapping[str, Any]]
"""An object, the name under which a plugin provides one, or a name and options."""


class RecordCodec(Encoder, Decoder):
    """Encodes checkpoints in one format, and decodes those of any installed format that is safe to load.

    It keeps no state between calls and may be used by several threads.

    ``format``, ``codec`` and ``serializer`` are each an object, the name under which a plugin provides one, or ``{name: {option:
    value}}``; ``codec`` may be a list of these.

    :param limits: what loading one checkpoint may cost beyond what its size accounts for.
    :raises GraphDefinitionError: ``compression`` is not known, or ``limits`` or options are not valid.
    :raises PluginNotFoundError: no installed plugin provides what is named.
    """

    def __init__(
        self,
        format: Chosen[Format] = "json",
        compression: bool | str = False,
        pretty_print: bool = False,
        codec: Chosen[Codec] | Sequence[Chosen[Codec]] | None = None,
        serializer: Chosen[CheckpointSerializer] | None = None,
        checksum: Checksum = "sha256",
        limits: ReadLimits | Mapping[str, int] | None = None,
    ) -> None:
        made, codecs = _chosen_format(format, pretty_print=pretty_print), _chosen_codecs(codec)
        hook, reading = _chosen_serializer(serializer), ReadLimits.of(limits)
        Encoder.__init__(
            self,
            made,
            compression=compression_name(compression),
            codecs=codecs,
            serializer=hook,
            checksum=checksum,
            limits=for_writing(reading),
        )
        Decoder.__init__(self, made, codecs=codecs, serializer=hook, limits=reading)
        self.serializer: str = class_name(type(hook)) if is_hook(hook) else ""
        """The class of the serializer that every object passes; nothing where it changes none."""
        self.object_hook: CheckpointSerializer | None = hook
        """That serializer."""

    def varied(
        self,
        *,
        format: Chosen[Format] | None = None,
        codec: Chosen[Codec] | Sequence[Chosen[Codec]] | None = None,
        serializer: Chosen[CheckpointSerializer] | None = None,
    ) -> RecordCodec:
        """A codec for the same store that writes as this one does, but for what is given."""
        return RecordCodec(
            format=self.format if format is None else format,
            compression=self.compression or False,
            codec=self.codecs if codec is None else codec,
            serializer=self.object_hook if serializer is None else serializer,
            checksum=self._checksum,
            limits=self.limits,
        )

    def inline_blobs(self, record: Record, blobs: Mapping[str, bytes]) -> Record:
        """The same record with its large values in its payload, for a store that keeps none beside it.

        :param blobs: name to content of the large values that it refers to.
        :raises CheckpointDamagedError: it, or one of them, is not what was written.
        :raises DeserializationError: it is signed, and to sign it anew takes the key; or its format can't be used here.
        :raises PluginNotFoundError: its format is not installed.
        """
        header = record.header
        check_intact(header, record.payload)
        if not header.references_in_payload:
            raise _needs_blobs(record, "does not say which large values it needs, so they can't be put into it")
        if header.signature:
            raise _needs_blobs(record, "is signed, so its large values can't be put into it without the key")
        opened = self.parsed(record)
        opened.fill(blobs)
        opened.put_buffers_into_text()
        raw = opened.format.dumps(opened.tree)
        codecs = opened.find_codecs(header.codecs)
        payload, compression = packed_payload(
            raw, header.compression, codecs, format=opened.format, limits=self.writing
        )
        whole = replace(header, size=len(payload), raw_size=len(raw), compression=compression)
        whole.checksum = made_checksum(self._checksum, whole.canonical(), payload)
        return Record(whole, payload)


def _chosen_format(given: Any, *, pretty_print: bool) -> Format:
    if pretty_print:
        if isinstance(given, Format):
            raise GraphDefinitionError(
                f"pretty_print=True is for formats that are given by name. Give it to the format: {class_name(type(given))}"
                "(pretty_print=True)."
            )
        name, options = (given, {}) if isinstance(given, str) else next(iter(given.items()))
        given = {name: {"pretty_print": True} | options}
    made: Format = _chosen("format", given, Format)
    return made


def _chosen_codecs(given: Any) -> list[Codec]:
    each_given = (
        given if isinstance(given, Sequence) and not isinstance(given, str) else () if given is None else (given,)
    )
    codecs = [_chosen("codec", each, Codec) for each in each_given]
    names = [getattr(codec, "name", None) for codec in codecs]
    for name in names:
        if not isinstance(name, str) or not _CODEC_NAME.fullmatch(name):
            raise GraphDefinitionError(
                f"codec= has a codec with name = {name!r}, by which no record can call it. Give its class a name of lower case "
                "letters, digits, '_', '.' and '-', a letter first."
            )
    if len({*names}) < len(names):
        raise GraphDefinitionError(
            f"codec= has two codecs of one name: {', '.join(map(str, names))}. Records tell them by name."
        )
    return codecs


def _chosen_serializer(given: Any) -> CheckpointSerializer | None:
    is_one = not isinstance(given, type) and hasattr(given, "serialize") and hasattr(given, "deserialize")
    hook: CheckpointSerializer | None = given
    return hook if given is None or is_one else _chosen("serializer", given, CheckpointSerializer)


def _chosen(kind: str, given: Any, base: Any) -> Any:
    if isinstance(given, base):
        return given
    from spark.hooks.options import chosen  # not needed by those who give an object

    return chosen(kind, given, base=base, place=kind)


def _needs_blobs(record: Record, why: str) -> DeserializationError:
    return DeserializationError(
        f"{name_of(record.header)} {why}. Copy it to a store that keeps large values by themselves."
    )
