"""Checkpoint ↔ record, in one format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spark.errors import DeserializationError
from spark.graphs.checkpoint.encoding.decoder import Decoder, check_intact, name_of
from spark.graphs.checkpoint.encoding.encoder import Checksum, Encoder, compressed
from spark.graphs.checkpoint.records.checksum import checksum as made_checksum
from spark.graphs.checkpoint.records.compression import compression_name
from spark.graphs.checkpoint.records.formats import Format, format_class
from spark.graphs.checkpoint.records.limits import ReadLimits, for_writing
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, is_hook
from spark.graphs.values.loaded import class_name


class RecordCodec(Encoder, Decoder):
    """Encodes checkpoints in one format, and decodes those of any installed format that is safe to load.

    It keeps no state between calls and may be used by several threads.

    :param limits: what loading one checkpoint may cost beyond what its size accounts for.
    :raises GraphDefinitionError: ``compression`` is not known, or ``limits`` are not valid.
    :raises PluginNotFoundError: no installed plugin provides ``format``.
    """

    def __init__(
        self,
        format: str | Format = "json",
        compression: bool | str = False,
        pretty_print: bool = False,
        serializer: CheckpointSerializer | None = None,
        checksum: Checksum = "sha256",
        limits: ReadLimits | Mapping[str, int] | None = None,
    ) -> None:
        made = _make_format(format, pretty_print=pretty_print) if isinstance(format, str) else format
        name, reading = compression_name(compression), ReadLimits.of(limits)
        writing = for_writing(reading)
        Encoder.__init__(self, made, compression=name, serializer=serializer, checksum=checksum, limits=writing)
        Decoder.__init__(self, made, serializer=serializer, limits=reading)
        self.serializer: str = class_name(type(serializer)) if is_hook(serializer) else ""
        """The class of the serializer that every object passes; nothing where it changes none."""

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
        raw = opened.format.dumps(opened.tree)
        packed = compressed(raw, header.compression, format=opened.format, limits=self.writing)
        payload, compression = (raw, "") if packed is None else (packed, header.compression)
        whole = replace(header, size=len(payload), raw_size=len(raw), compression=compression)
        whole.checksum = made_checksum(self._checksum, whole.canonical(), payload)
        return Record(whole, payload)


def _make_format(name: str, *, pretty_print: bool) -> Format:
    kind: Any = format_class(name)
    made: Format = kind(pretty_print=pretty_print) if kind.text else kind()
    return made


def _needs_blobs(record: Record, why: str) -> DeserializationError:
    return DeserializationError(
        f"{name_of(record.header)} {why}. Copy it to a store that keeps large values by themselves."
    )
