"""Checkpoint → record, top to bottom: sections, payload, compression, header, checksum, signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

from spark.errors import SerializationError
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.decoder import StoredLayout
from spark.graphs.checkpoint.model import CURRENT_VERSION, FACTS, SECTIONS, GraphCheckpoint, facts_of
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.records.buffers import Contents
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.records.codecs import Codec, codec_names, pack
from spark.graphs.checkpoint.records.composing import Composer, Encoded
from spark.graphs.checkpoint.records.compression import COST_FACTOR
from spark.graphs.checkpoint.records.formats import Format, is_signed
from spark.graphs.checkpoint.records.info import Scalar
from spark.graphs.checkpoint.records.limits import Inflation, ReadLimits, most_members
from spark.graphs.checkpoint.records.query import searchable
from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.checkpoint.sections import no_section
from spark.graphs.checkpoint.serialization.buffers import leave_out
from spark.graphs.checkpoint.serialization.cost import CostBudget
from spark.graphs.checkpoint.serialization.object_hook import ObjectHook
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, serializer_name
from spark.graphs.checkpoint.serialization.unsaveable import describe
from spark.graphs.checkpoint.serialization.writer import TreeWriter
from spark.graphs.values.containers import ordinary
from spark.graphs.values.loaded import class_name
from spark.graphs.values.paths import find_unserializable

Checksum = Literal["sha256", "crc32"]

_LEVELS_AROUND: Final = 8
"""At most so many levels are around a value where it stands in a checkpoint. What is deferred can't be refused there any more."""


class Encoder:
    """Writes records in one format. Between calls it keeps nothing but what is in the caller's cache."""

    def __init__(
        self,
        format: Format,
        *,
        compression: str,
        codecs: Sequence[Codec],
        serializer: CheckpointSerializer | None,
        checksum: Checksum,
        limits: ReadLimits,
    ) -> None:
        self.format = format
        self.compression = compression
        """``"gzip"``, ``"zstd"``, or ``""`` for none."""
        self.codecs = codecs
        """What payloads and large values pass after that, in this order."""
        self.writing = limits
        """What it writes stays within these, so that everybody can read it."""
        self._writer = TreeWriter(serializer, most_equal_hashes=limits.max_equal_hashes, takes_bytes=format.takes_bytes)
        self._checker = self._writer.keeping(leave_out)
        self._facts_writer = TreeWriter()
        self._hook = ObjectHook(serializer)
        self._composer = Composer(format) if format.composes else None
        self._checksum = checksum
        self._signs = is_signed(format)
        self._packs = bool(compression or codecs)
        self._cost_factor = COST_FACTOR[compression] + sum(codec.cost for codec in codecs)
        self._codec_names = codec_names(codecs)
        self._serializer_name = serializer_name(serializer)
        self.defers: bool = (
            checksum == "crc32" and format.composes and not (self._packs or self._signs or self._writer.has_hook)
        )
        """Records stay in this process, and a value that passed ``check`` can be encoded: so that may wait until it is read."""

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
        """The record of a checkpoint; see ``encode_sections``."""
        return self.encode_sections(
            {name: getattr(checkpoint, name) for name in SECTIONS},
            checkpoint_id=checkpoint.checkpoint_id,
            graph_id=checkpoint.graph_id,
            sequence=sequence,
            parent=checkpoint.parent,
            timestamp=checkpoint.timestamp,
            manual=manual,
            nonce=nonce,
            version=checkpoint.version,
            origin=checkpoint.origin,
            cache=cache,
            cost_budget=cost_budget,
            blobs=blobs,
        )

    def encode_sections(
        self,
        sections: Mapping[str, Any],
        *,
        checkpoint_id: str,
        graph_id: str,
        sequence: int,
        parent: int | None,
        timestamp: datetime,
        manual: bool,
        nonce: str,
        version: str = CURRENT_VERSION,
        origin: str | None = None,
        cache: EncodingCache | None = None,
        cost_budget: CostBudget | None = None,
        blobs: NewBlobs | None = None,
    ) -> Record:
        """The record of a checkpoint with these sections. With a cache, only values that are new since its last use are encoded.

        :param blobs: where large values go; without it the payload holds them all.
        :raises CostExceededError: what has to be encoded is more than the cost budget allows, if one was given.
        :raises SerializationError: a value can't be saved; the error has the path to it.
        """
        is_own = cache is None
        cache = EncodingCache() if cache is None else cache
        facts = facts_of(timestamp, origin)
        if blobs is not None and cache.retired:
            blobs.inflation.forget(cache.retired)
        payload = self._payload(sections, facts, sequence, cache, cost_budget, blobs)
        if is_own:
            cache.release()
        raw_size = size = len(payload)
        compression = ""
        cache.last_cost = raw_size * self._cost_factor
        if self._packs:
            payload, compression = packed_payload(
                payload, self.compression, self.codecs, format=self.format, limits=self.writing
            )
            size = len(payload)
        header = RecordHeader(
            checkpoint_id=checkpoint_id,
            graph_id=graph_id,
            sequence=sequence,
            parent=parent,
            timestamp=_instant(timestamp) if facts else timestamp,
            manual=manual,
            version=version,
            format=self.format.name,
            compression=compression,
            size=size,
            raw_size=raw_size,
            nonce=nonce,
            metadata=_searchable(sections["execution_metadata"], origin),
            references_in_payload=True,
            codecs=self._codec_names,
            serializer=self._serializer_name,
        )
        self.seal(header, payload)
        record = Record(header, payload)
        if blobs is not None and blobs.unstored:
            record.blobs = Contents(dict(blobs.unstored))
        return record

    def encode_ahead(
        self, sections: Mapping[str, Any], *, sequence: int, cache: EncodingCache, blobs: NewBlobs
    ) -> Iterator[None]:
        """Encode what is new of sections, and stop wherever blobs are to be stored before there are more.

        ``encode_sections`` does what is left, and makes the record. Nothing else may use the cache until then.

        :raises SerializationError: a value can't be saved; the error has the path to it.
        """
        if self._composer is not None:
            self._claim(cache, self._composer, blobs)
            yield from cache.encoder.encode_ahead(sections, sequence=sequence)

    def adopt(self, layout: StoredLayout, values: Mapping[str, Any], cache: EncodingCache) -> bool:
        """Have an empty cache know what a record has in chunks; False where what is written now is written in another way.

        :param values: what its sections were read as, as far as the run begins with that.
        """
        header = layout.header
        is_same = (
            header.format == self.format.name and header.version == CURRENT_VERSION and header.references_in_payload
        )
        # Which key or which class they used can't be told by their names.
        is_plain = not (header.codecs or header.serializer or self.codecs or self._writer.has_hook)
        if self._composer is None or not is_same or not is_plain:
            return False
        from spark.graphs.checkpoint.encoding.adopting import adopt  # not needed by those who save nothing

        cache.claim(self.format, self._writer)
        adopt(layout.sections, values, cache)
        return True

    def tree(self, value: Any, path: str = "") -> Any:
        """The plain tree of a value, as records hold it in formats that write trees.

        :raises SerializationError: something in it can't be saved; the error has the path to it.
        """
        return self._writer.tree(value, path)

    def check(self, value: Any, path: str) -> None:
        """Make sure that a value can be saved.

        :raises SerializationError: something in it can't be; the error has the path to it.
        """
        if self.format.takes_objects:
            tree = self._hook.value(value, path)
        else:
            tree = self._checker.tree(value, path, depth=_LEVELS_AROUND if self.defers else 0)
        self.dump(tree, path)

    def check_sections(self, sections: Mapping[str, Any], *, cost_budget: CostBudget | None = None) -> None:
        """Make sure that what is in these sections can be saved: one value after the other, so that none is kept encoded.

        :raises CostExceededError: that is more than the cost budget allows, if one was given.
        :raises SerializationError: something can't be saved; the error has the path to it.
        """
        for name, section in sections.items():
            for key, value in (section or {}).items():
                if cost_budget is not None:
                    cost_budget.add(value)
                self.check(value, f"{name}[{key!r}]")

    def dump(self, tree: Any, path: str) -> bytes:
        """A tree in the format.

        :raises SerializationError: the format can't write it; the error has the path to what it can't.
        """
        try:
            dumped = self.format.dumps(tree)
        except Exception as error:
            raise unserializable(self.format, tree, path, error) from error
        if type(dumped) is not bytes:
            made = f"The format {self.format.name!r} made a {type(dumped).__name__}, not bytes. Nothing was written."
            raise SerializationError(made)
        return dumped

    def seal(self, header: RecordHeader, payload: bytes, *, format: Format | None = None) -> None:
        """Give a new header its checksum and, where its format signs, its signature.

        :param format: the one that wrote the payload, if it is not this encoder's own.
        """
        signing, signs = (self.format, self._signs) if format is None else (format, is_signed(format))
        sealed = header.canonical()
        header.checksum = checksum(self._checksum, sealed, payload)
        if signs:
            header.signature = signing.sign(sealed + payload)

    def _payload(
        self,
        sections: Mapping[str, Any],
        facts: Mapping[str, Any],
        sequence: int,
        cache: EncodingCache,
        cost_budget: CostBudget | None,
        blobs: NewBlobs | None,
    ) -> bytes:
        if (composer := self._composer) is not None:
            self._claim(cache, composer, blobs)
            encoded: dict[str, Encoded] = cache.encoder.encode(sections, sequence=sequence, budget=cost_budget)
            for name, fact in facts.items():
                encoded[name] = self.dump(self._facts_writer.tree(fact, name), name)
            return composer.compose(encoded)
        if cost_budget is not None:
            for name in SECTIONS:
                cost_budget.add(sections[name])
        return self.dump(self._lower(sections, facts), "")

    def _claim(self, cache: EncodingCache, composer: Composer, blobs: NewBlobs | None) -> None:
        if cache.owner is not self.format:
            cache.claim(self.format, self._writer if blobs is not None else None)
        if cache.made_for is not blobs or cache.encoder is None:
            self._prepare(cache, composer, blobs)

    def _prepare(self, cache: EncodingCache, composer: Composer, blobs: NewBlobs | None) -> None:
        """Have a cache serve this encoder."""
        # Not needed by those who save nothing.
        from spark.graphs.checkpoint.encoding.record_blobs import BlobsOfRecord
        from spark.graphs.checkpoint.encoding.section_encoder import SectionEncoder

        blobs_of_record = None
        if blobs is not None:
            add = partial(blobs.add, compression=self.compression, codecs=self.codecs, count=self.format.count)
            blobs_of_record = BlobsOfRecord(blobs, add, codecs=self._codec_names)
        cache.made_for = blobs
        cache.encoder = SectionEncoder(
            writer=self._writer, dump=self.dump, composer=composer, cache=cache, blobs=blobs_of_record
        )

    def _lower(self, sections: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        """What a format writes that does not compose: plain trees, or where it takes them, the objects themselves."""
        content: dict[str, Any] = {}
        for name, section in SECTIONS.items():
            values = sections[name]
            if not section.takes(values):
                raise no_section(name, values)
            if values is None:
                content |= {} if section.may_be_absent else {name: None}
            elif self.format.takes_objects:
                content[name] = self._hook.lower({key: ordinary(value) for key, value in values.items()}, name)
            else:
                content[name] = self._writer.mapping(values, name)
        for name, fact in facts.items():
            content[name] = fact if self.format.takes_objects else self._facts_writer.tree(fact, name)
        return content


def packed_payload(
    raw: bytes, compression: str, codecs: Sequence[Codec], *, format: Format, limits: ReadLimits
) -> tuple[bytes, str]:
    """What is stored of a payload, and how that is compressed.

    :raises SerializationError: a codec fails.
    """

    def admits(size: int) -> bool:
        # Whoever unpickles trusts the store.
        members = 0 if format.takes_objects else most_members(raw, format.count, stored=size)
        return Inflation(limits).admits("payload", size=size, raw_size=len(raw), members=members)

    return pack(raw, compression=compression, codecs=codecs, admits=admits)


def _searchable(execution_metadata: Mapping[str, Any], origin: str | None) -> dict[str, Scalar]:
    """What a header holds to be searched for: of a fork, where it comes from as well."""
    found = searchable(execution_metadata)
    return found if origin is None else searchable({"origin": origin, **found})


def _instant(timestamp: datetime) -> datetime:
    if type(timestamp) is datetime and timestamp.tzinfo is UTC:
        return timestamp
    try:
        return timestamp.astimezone(UTC)
    except (AttributeError, OverflowError, OSError, ValueError) as error:
        raise SerializationError(
            f"The timestamp {timestamp!r} has no equivalent in UTC. Nothing was written.", path="timestamp"
        ) from error


def _section_path(steps: str) -> str:
    """``['graph_state'][…]`` of a whole checkpoint, as users know it: ``graph_state[…]``."""
    name = next((name for name in (*SECTIONS, *FACTS) if steps.startswith(f"['{name}']")), "")
    return name + steps[len(name) + 4 :] if name else steps


def unserializable(format: Format, tree: Any, path: str, error: Exception) -> SerializationError:
    """What to raise for a tree that a format can't write: it has the path to what it can't."""

    def can_write(value: Any) -> bool:
        try:
            format.dumps(value)
        except Exception:
            return False
        return True

    steps, part = find_unserializable(tree, can_write)
    whole = path + steps if path else _section_path(steps)
    return SerializationError(
        f"{whole or 'The checkpoint'} can't be saved: the format {format.name!r} can't write a "
        f"{class_name(type(part))}: {describe(error)}. Convert it to plain values, or give the backend a "
        "serializer. Nothing was written.",
        path=whole,
    )
