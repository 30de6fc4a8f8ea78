"""Checkpoint ↔ record: tree, format, compression, checksum, signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, NoReturn

from spark.errors import (
    CheckpointDamagedError,
    DeserializationError,
    InvalidIdError,
    SerializationError,
    SparkError,
)
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.payload import PayloadReader, PayloadWriter
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.records.blobs import BlobRef, NewBlobs, Reference, join_parts, references
from spark.graphs.checkpoint.records.checksum import checksum, is_right
from spark.graphs.checkpoint.records.compression import COST_FACTOR, compress, compression_name, unpack
from spark.graphs.checkpoint.records.formats import DeferredPayload, Format, format_class
from spark.graphs.checkpoint.records.limits import Budget, Inflation, ReadLimits, for_writing
from spark.graphs.checkpoint.records.query import searchable
from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.checkpoint.serialization.cost import CostBudget
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, is_hook
from spark.graphs.checkpoint.serialization.unsaveable import describe
from spark.graphs.values.loaded import class_name


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """A record whose payload was found intact, and parsed."""

    header: RecordHeader
    format: Format
    tree: Any
    """What the format loaded."""
    is_plain: bool
    """Nothing in the tree is a tag that stands for something else, whatever it looks like."""
    references: list[Reference]
    """To the large values that it needs."""
    budget: Budget
    """What the rest of the load may take."""
    limits: ReadLimits

    def blob_names(self) -> list[str]:
        """The names of those."""
        return list(dict.fromkeys(reference.ref.name for reference in self.references))

    def fill(self, blobs: Mapping[str, bytes]) -> None:
        """Put the large values where the references to them stand.

        :param blobs: name to content.
        :raises CheckpointDamagedError: one of them is missing, or not what was written.
        :raises DeserializationError: together they are more than the limits allow.
        """
        if self.is_plain or type(self.tree) is not dict:
            return
        values: dict[str, tuple[Any, int]] = {}
        for reference in self.references:
            ref = reference.ref
            if ref.name not in values:
                values[ref.name] = _large_value(self, ref, blobs)
            else:
                self.budget.take(members=values[ref.name][1])
            reference.mapping[reference.key] = values[ref.name][0]
        try:
            join_parts(self.tree)
        except CheckpointDamagedError as error:
            _raise_damaged(self.header, str(error), cause=error)


class Codec:
    """Encodes checkpoints in one format, and decodes those of any installed format that is safe to load.

    It keeps no state between calls and may be used by several threads.

    :param limits: what loading one checkpoint may cost beyond what its size accounts for.
    :raises GraphDefinitionError: ``compression`` is not known, or ``limits`` are none.
    :raises PluginNotFoundError: no installed plugin provides ``format``.
    """

    def __init__(
        self,
        format: str | Format = "json",
        compression: bool | str = False,
        pretty_print: bool = False,
        serializer: CheckpointSerializer | None = None,
        checksum: Literal["sha256", "crc32"] = "sha256",
        limits: ReadLimits | Mapping[str, int] | None = None,
    ) -> None:
        self.format: Format = _make_format(format, pretty_print=pretty_print) if isinstance(format, str) else format
        self.compression: str = compression_name(compression)
        self.limits: ReadLimits = ReadLimits.of(limits)
        """What one load may cost."""
        self.serializer: str = class_name(type(serializer)) if is_hook(serializer) else ""
        """The class of the serializer that every object passes; nothing where it changes none."""
        self.writing: ReadLimits = for_writing(self.limits)
        """What it writes stays within these."""
        self._writer = PayloadWriter(self.format, serializer, self.writing)
        self._reader = PayloadReader(serializer)
        self._checksum = checksum
        self._signs = _is_signed(self.format)
        self._defers = checksum == "crc32" and not self.compression and not self._signs
        """Records stay in this process, where whoever reads one can put it together."""

    def encode(
        self,
        checkpoint: GraphCheckpoint,
        *,
        sequence: int,
        manual: bool,
        nonce: str,
        cache: EncodingCache | None = None,
        cost_budget: CostBudget | None = None,
        blobs: NewBlobs | None = None,
    ) -> Record:
        """The record of a checkpoint. With a cache, only values that are new since its last use are encoded.

        :param blobs: where large values go; without it the payload holds them all.
        :raises CostExceededError: what has to be encoded is more than the cost budget allows, if one was given.
        :raises SerializationError: a value can't be saved; the error has the path to it.
        """
        cache = EncodingCache() if cache is None else cache
        keep_apart = None
        if blobs is not None:
            blobs.inflation.forget(cache.retired)
            keep_apart = partial(blobs.add, sequence=sequence, compression=self.compression, count=self.format.count)
        raw = self._writer.write(checkpoint, cache=cache, cost_budget=cost_budget, keep_apart=keep_apart)
        if not self._defers:
            raw = bytes(raw)
        raw_size = len(raw)
        cache.last_cost = 0 if isinstance(raw, DeferredPayload) else raw_size * COST_FACTOR[self.compression]
        packed = _packed(self.format, bytes(raw), self.compression, self.writing) if self.compression else None
        payload, compression = (raw, "") if packed is None else (packed, self.compression)
        header = RecordHeader(
            checkpoint_id=checkpoint.checkpoint_id,
            graph_id=checkpoint.graph_id,
            sequence=sequence,
            parent=checkpoint.parent,
            timestamp=_instant(checkpoint.timestamp),
            manual=manual,
            version=checkpoint.version,
            format=self.format.name,
            compression=compression,
            size=raw_size if payload is raw else len(payload),
            raw_size=raw_size,
            nonce=nonce,
            metadata=searchable(checkpoint.execution_metadata),
            references_in_payload=True,
        )
        record = Record(header, payload)
        if not isinstance(payload, DeferredPayload):
            self._seal(header, payload)
        if blobs is not None:
            record.blobs = dict(blobs.unstored)
        return record

    def tree(self, value: Any, path: str = "") -> Any:
        """The plain tree of a value, as records hold it in formats that write trees.

        :raises SerializationError: something in it can't be saved; the error has the path to it.
        """
        return self._writer.tree(value, path)

    def check(self, value: Any, path: str) -> None:
        """Make sure that a value can be saved.

        :raises SerializationError: something in it can't be; the error has the path to it.
        """
        self._writer.check(value, path)

    def decode(self, record: Record) -> GraphCheckpoint:
        """The checkpoint that a record without references to large values was made from: ``open`` and ``read`` in one."""
        return self.read(self.open(record), {})

    def open(self, record: Record) -> OpenRecord:
        """A record whose payload was checked and parsed, so that it can be told which large values it refers to.

        :raises CheckpointDamagedError: it is not what was written.
        :raises DeserializationError: it is intact, but its format can't be used here, or it is more than the limits allow.
        :raises PluginNotFoundError: its format is not installed.
        """
        header, payload = record.header, record.payload
        _check_intact(header, payload)
        format = self._format_of(header)
        if _is_signed(format) and not format.verify(header.canonical() + payload, header.signature):
            _raise_damaged(header, f"its {format.name} signature is missing, or was not made with the key in use here")
        return _parsed(header, payload, format, self.limits)

    def references(self, record: Record) -> list[BlobRef]:
        """The large values that a record refers to. Neither its types nor the key of its signature are needed.

        :raises CheckpointDamagedError: it is not what was written.
        :raises DeserializationError: it is intact, but its format can't be used here, or it is more than the limits allow.
        :raises PluginNotFoundError: its format is not installed.
        """
        header, payload = record.header, record.payload
        _check_intact(header, payload)
        if self._kind_of(header).takes_objects:
            return []  # such formats write a checkpoint in one piece
        return [
            reference.ref for reference in _parsed(header, payload, self._format_of(header), self.limits).references
        ]

    def inline_blobs(self, record: Record, blobs: Mapping[str, bytes]) -> Record:
        """The same record with its large values in its payload, for a store that keeps none beside it.

        :param blobs: name to content of the large values that it refers to.
        :raises CheckpointDamagedError: it, or one of them, is not what was written.
        :raises DeserializationError: it is signed, and to sign it anew takes the key; or its format can't be used here.
        :raises PluginNotFoundError: its format is not installed.
        """
        header = record.header
        _check_intact(header, record.payload)
        if not header.references_in_payload:
            raise DeserializationError(
                f"{_name(header)} does not say which large values it needs, so they can't be put into it. Copy it to a store "
                "that keeps large values by themselves."
            )
        if header.signature:
            raise DeserializationError(
                f"{_name(header)} is signed, so its large values can't be put into it without the key. Copy it to a store "
                "that keeps large values by themselves."
            )
        opened = _parsed(header, record.payload, self._format_of(header), self.limits)
        opened.fill(blobs)
        raw = opened.format.dumps(opened.tree)
        packed = _packed(opened.format, raw, header.compression, self.writing) if header.compression else None
        payload, compression = (raw, "") if packed is None else (packed, header.compression)
        whole = replace(header, size=len(payload), raw_size=len(raw), compression=compression)
        whole.checksum = checksum(self._checksum, whole.canonical(), payload)
        return Record(whole, payload)

    def read(self, opened: OpenRecord, blobs: Mapping[str, bytes]) -> GraphCheckpoint:
        """The checkpoint that the record was made from.

        :param blobs: name to content of the large values that it refers to.
        :raises CheckpointDamagedError: one of them is missing or not what was written, or the payload is no checkpoint.
        :raises DeserializationError: a type in it can't be used here.
        """
        header = opened.header
        opened.fill(blobs)
        try:
            content = self._reader.read(opened.format, opened.tree, is_plain=opened.is_plain, limits=opened.limits)
        except DeserializationError as error:
            raise DeserializationError(f"{_name(header)} is intact, but can't be loaded: {error}") from error
        except CheckpointDamagedError as error:
            _raise_damaged(header, str(error), cause=error)
        return _make_checkpoint(header, content)

    def _seal(self, header: RecordHeader, payload: bytes) -> None:
        sealed = header.canonical()
        header.checksum = checksum(self._checksum, sealed, payload)
        if self._signs:
            header.signature = self.format.sign(sealed + payload)

    def _kind_of(self, header: RecordHeader) -> type[Format]:
        return type(self.format) if header.format == self.format.name else format_class(header.format)

    def _format_of(self, header: RecordHeader) -> Format:
        if header.format == self.format.name:
            return self.format
        kind = self._kind_of(header)
        if not kind.safe_to_load:
            raise DeserializationError(
                f"{_name(header)} was written in the format {header.format!r}. Loading that can run code, so it is "
                f"only done where it is asked for: if you trust this store, open it with format={header.format!r}."
            )
        return kind()


def _make_format(name: str, *, pretty_print: bool) -> Format:
    kind: Any = format_class(name)
    made: Format = kind(pretty_print=pretty_print) if kind.text else kind()
    return made


def _is_signed(format: Format) -> bool:
    return type(format).sign is not Format.sign or type(format).verify is not Format.verify


def _instant(timestamp: datetime) -> datetime:
    if type(timestamp) is datetime and timestamp.tzinfo is UTC:
        return timestamp
    try:
        return timestamp.astimezone(UTC)
    except (AttributeError, OverflowError, OSError, ValueError) as error:
        raise SerializationError(
            f"The timestamp {timestamp!r} is no moment that can be told in UTC. Nothing was written.", path="timestamp"
        ) from error


def _check_intact(header: RecordHeader, payload: bytes) -> None:
    if len(payload) != header.size:
        _raise_damaged(header, f"it has {len(payload)} bytes instead of {header.size}")
    if not is_right(header.checksum, header.canonical(), payload):
        _raise_damaged(header, "its checksum does not match its content")


def _packed(format: Format, raw: bytes, compression: str, limits: ReadLimits) -> bytes | None:
    """A payload compressed; None where a reader would take it for a bomb."""
    packed = compress(raw, compression)
    if packed is None or format.takes_objects:
        return packed
    fits = Inflation(limits).admits("payload", size=len(packed), raw_size=len(raw), members=format.count(raw))
    return packed if fits else None


def _parsed(header: RecordHeader, payload: bytes, format: Format, limits: ReadLimits) -> OpenRecord:
    budget = Budget(limits, _name(header))
    budget.stored(len(payload))
    raw = _unpack(header, payload)
    if not format.takes_objects:  # whoever unpickles trusts the store
        budget.take(size=len(raw), members=format.count(raw))
    tree = _load(format, header, raw)
    is_plain = format.takes_objects or format.is_plain(raw)
    try:
        found = [] if is_plain or type(tree) is not dict else references(tree)
    except CheckpointDamagedError as error:
        _raise_damaged(header, str(error), cause=error)
    for ref in {reference.ref.name: reference.ref for reference in found}.values():
        budget.stored(ref.size)
    budget.take(size=sum(reference.ref.raw_size for reference in found))
    return OpenRecord(header, format, tree, is_plain, found, budget, limits)


def _unpack(header: RecordHeader, payload: bytes) -> bytes:
    try:
        return unpack(payload, header.compression, raw_size=header.raw_size, what=_name(header))
    except CheckpointDamagedError as error:
        _raise_damaged(header, str(error), cause=error)


def _load(format: Format, header: RecordHeader, raw: bytes) -> Any:
    try:
        return format.loads(raw)
    except SparkError:
        raise
    except Exception as error:
        _raise_damaged(header, f"its payload is not the {format.name} it should be ({describe(error)})", cause=error)


def _large_value(opened: OpenRecord, ref: BlobRef, blobs: Mapping[str, bytes]) -> tuple[Any, int]:
    """The value, and how many values it is made of at most."""
    stored = blobs.get(ref.name)
    if stored is None:
        _raise_damaged(opened.header, f"its large value {ref.name!r} is missing")
    try:
        content = ref.content(stored)
    except CheckpointDamagedError as error:
        _raise_damaged(opened.header, str(error), cause=error)
    members = opened.format.count(content)
    opened.budget.take(members=members)
    return _load(opened.format, opened.header, content), members


def _make_checkpoint(header: RecordHeader, content: dict[str, Any]) -> GraphCheckpoint:
    names = ("checkpoint_id", "graph_id", "timestamp", "sequence", "parent", "version")
    try:
        return GraphCheckpoint(**{name: getattr(header, name) for name in names} | content)
    except InvalidIdError as error:
        _raise_damaged(header, str(error), cause=error)


def _raise_damaged(header: RecordHeader, reason: str, *, cause: BaseException | None = None) -> NoReturn:
    raise CheckpointDamagedError(
        f"{_name(header)} is damaged: {reason}. It was changed after it was written, or something else wrote it. "
        "An earlier checkpoint of this graph may be intact: list them, and load one of those."
    ) from cause


def _name(header: RecordHeader) -> str:
    return f"Checkpoint {header.checkpoint_id!r} (graph {header.graph_id!r}, sequence {header.sequence})"
