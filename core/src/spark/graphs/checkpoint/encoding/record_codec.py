"""Checkpoint ↔ record, in one format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from spark.errors import CheckpointDamagedError, DeserializationError
from spark.graphs.checkpoint.encoding.choosing import ENCODING, Chosen, chosen_codecs, chosen_serializer, made_format
from spark.graphs.checkpoint.encoding.decoder import Decoder, check_intact
from spark.graphs.checkpoint.encoding.encoder import Checksum, Encoder, packed_payload
from spark.graphs.checkpoint.encoding.recorded import name_of
from spark.graphs.checkpoint.records.buffers import Buffers, StoredBuffers
from spark.graphs.checkpoint.records.checksum import checksum as made_checksum
from spark.graphs.checkpoint.records.codecs import Codec
from spark.graphs.checkpoint.records.compression import compression_name
from spark.graphs.checkpoint.records.formats import Format, parsed
from spark.graphs.checkpoint.records.limits import ReadLimits, for_writing
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.serialization.object_hook import ObjectHook
from spark.graphs.checkpoint.serialization.reader import TreeReader
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, is_hook
from spark.graphs.values.loaded import class_name


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
        made, codecs = made_format(format, pretty_print=pretty_print), chosen_codecs(codec, place="codec")
        hook = None if serializer is None else chosen_serializer(serializer, place="serializer")
        reading = ReadLimits.of(limits)
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

    def encode_value(self, value: Any, path: str) -> tuple[bytes, list[memoryview]]:
        """A value by itself in this format, and the large buffers that this refers to, in their order.

        :raises SerializationError: something in it can't be encoded; the error has the path to it.
        """
        if self.format.takes_objects:
            return self.dump(self._hook.value(value, path), path), []
        buffers = Buffers()
        payload = self.dump(self._writer.keeping(buffers.keep).tree(value, path), path)
        return payload, buffers.take_views()

    def decode_value(self, payload: bytes, buffers: Sequence[Any], path: str) -> Any:
        """What ``encode_value`` was given. The buffers may be any objects with the buffer protocol.

        :raises DeserializationError: a type is not known to this program, or can't be rebuilt by it.
        :raises CheckpointDamagedError: these are not the bytes of a value.
        """
        try:
            tree = parsed(self.format, payload, path)
        except CheckpointDamagedError as error:
            raise CheckpointDamagedError(f"{path} is not {error}") from error.__cause__
        if self.format.takes_objects:
            return ObjectHook(self.object_hook).lift({"value": tree}, path)["value"]
        reader = TreeReader(self.object_hook, limits=self.limits)
        reader.buffers = StoredBuffers([memoryview(each).cast("B") for each in buffers])
        return reader.value(tree, path)

    @cached_property
    def chosen_as(self) -> dict[str, Any]:
        """What can be recorded of how it writes: by name and options what was chosen by name; the default is left out."""
        return {name: data for name in ENCODING if (data := _to_data(self._part(name)))}

    def filled_in(self, encoding: Mapping[str, Any]) -> RecordCodec:
        """The codec of a store, with those of these choices that the store was not opened with itself.

        :param encoding: ``format``, ``serializer`` and ``codec``, as objects or names.
        """
        missing = {name: value for name, value in encoding.items() if _is_default(self._part(name))}
        return self.varied(**missing) if missing else self

    def _part(self, name: str) -> Any:
        return self.format if name == "format" else self.codecs if name == "codec" else self.object_hook

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


def _needs_blobs(record: Record, why: str) -> DeserializationError:
    return DeserializationError(
        f"{name_of(record.header)} {why}. Copy it to a store that keeps large values separately."
    )


def _is_default(part: Any) -> bool:
    return not part or (isinstance(part, Format) and not _to_data(part) and part.name == "json")


def _to_data(part: Any) -> Any:
    from spark.hooks.choices import choice_of  # not needed by those who save nothing

    if isinstance(part, list):
        return [data for one in part if (data := _to_data(one))]
    choice = choice_of(part)
    return None if choice is None or (choice.name == "json" and not choice.options) else choice.to_data()
