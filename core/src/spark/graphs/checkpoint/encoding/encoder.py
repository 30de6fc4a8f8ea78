"""Checkpoint → record, top to bottom: sections, payload, compression, header, checksum, signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Final, Literal

from spark.errors import SerializationError
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.model import CURRENT_VERSION, FACTS, SECTIONS, GraphCheckpoint, facts_of
from spark.graphs.checkpoint.records.blobs import BlobRef, NewBlobs
from spark.graphs.checkpoint.records.buffers import BUFFERED, CHUNKS, VALUE, Contents, Pieces
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.records.chunks import Chunks
from spark.graphs.checkpoint.records.codecs import Codec, codec_names, pack
from spark.graphs.checkpoint.records.composing import Composer, DeferredPayload, Encoded, EncodedItems
from spark.graphs.checkpoint.records.compression import COST_FACTOR
from spark.graphs.checkpoint.records.formats import Format, is_signed
from spark.graphs.checkpoint.records.limits import Inflation, ReadLimits, most_members
from spark.graphs.checkpoint.records.query import searchable
from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.checkpoint.sections import Section
from spark.graphs.checkpoint.serialization.buffers import leave_out
from spark.graphs.checkpoint.serialization.cost import CostBudget
from spark.graphs.checkpoint.serialization.object_hook import ObjectHook
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, serializer_name
from spark.graphs.checkpoint.serialization.unsaveable import describe
from spark.graphs.checkpoint.serialization.writer import TreeWriter
from spark.graphs.values.containers import ordinary
from spark.graphs.values.item_mapping import Captured
from spark.graphs.values.loaded import class_name
from spark.graphs.values.paths import find_unserializable

Checksum = Literal["sha256", "crc32"]

KeepApart = Callable[[bytes | Pieces], BlobRef]
"""Stores an encoded value, or a chunk of buffers, as a blob; returns the reference to it."""

_NO_ITEMS: Final = EncodedItems.of(())


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
        self._defers = checksum == "crc32" and not self._packs and not self._signs
        """Records stay in this process, so that a payload need not be composed before it is read."""

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
        cache = EncodingCache() if cache is None else cache
        keep_apart = None
        if blobs is not None:
            blobs.inflation.forget(cache.retired)
            keep_apart = partial(
                blobs.add,
                sequence=sequence,
                compression=self.compression,
                codecs=self.codecs,
                count=self.format.count,
            )
        facts = facts_of(timestamp, origin)
        payload = self._payload(sections, facts, cache, cost_budget, keep_apart)
        raw_size = size = len(payload)
        compression = ""
        if isinstance(payload, bytes):
            cache.last_cost = raw_size * self._cost_factor
            if self._packs:
                payload, compression = packed_payload(
                    payload, self.compression, self.codecs, format=self.format, limits=self.writing
                )
                size = len(payload)
        else:
            cache.last_cost = 0
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
            metadata=searchable(sections["execution_metadata"]),
            references_in_payload=True,
            codecs=self._codec_names,
            serializer=self._serializer_name,
        )
        if isinstance(payload, bytes):
            self._seal(header, payload)
        record = Record(header, payload)
        if blobs is not None and blobs.unstored:
            record.blobs = Contents(dict(blobs.unstored))
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
        self.dump(self._hook.value(value, path) if self.format.takes_objects else self._checker.tree(value, path), path)

    def dump(self, tree: Any, path: str) -> bytes:
        """A tree in the format.

        :raises SerializationError: the format can't write it; the error has the path to what it can't.
        """
        try:
            dumped = self.format.dumps(tree)
        except Exception as error:
            raise self._unserializable(tree, path, error) from error
        if type(dumped) is not bytes:
            made = f"The format {self.format.name!r} made a {type(dumped).__name__}, not bytes. Nothing was written."
            raise SerializationError(made)
        return dumped

    def _payload(
        self,
        sections: Mapping[str, Any],
        facts: Mapping[str, Any],
        cache: EncodingCache,
        cost_budget: CostBudget | None,
        keep_apart: KeepApart | None,
    ) -> bytes | DeferredPayload:
        if (composer := self._composer) is not None:
            if cache.owner is not self.format:
                cache.claim(self.format, self._writer if keep_apart is not None else None)
            encoded = _SectionEncoder(self, self._writer, composer, cache, cost_budget, keep_apart).encode(sections)
            for name, fact in facts.items():
                encoded[name] = self.dump(self._facts_writer.tree(fact, name), name)
            return DeferredPayload(composer, encoded) if self._defers else composer.compose(encoded)
        if cost_budget is not None:
            for name in SECTIONS:
                cost_budget.add(sections[name])
        return self.dump(self._lower(sections, facts), "")

    def _lower(self, sections: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        """What a format writes that does not compose: plain trees, or where it takes them, the objects themselves."""
        content: dict[str, Any] = {}
        for name, section in SECTIONS.items():
            values = sections[name]
            if not section.takes(values):
                raise _no_section(name, values)
            if values is None:
                content |= {} if section.may_be_absent else {name: None}
            elif self.format.takes_objects:
                content[name] = self._hook.lower({key: ordinary(value) for key, value in values.items()}, name)
            else:
                content[name] = self._writer.mapping(values, name)
        for name, fact in facts.items():
            content[name] = fact if self.format.takes_objects else self._facts_writer.tree(fact, name)
        return content

    def _seal(self, header: RecordHeader, payload: bytes) -> None:
        sealed = header.canonical()
        header.checksum = checksum(self._checksum, sealed, payload)
        if self._signs:
            header.signature = self.format.sign(sealed + payload)

    def _unserializable(self, tree: Any, path: str, error: Exception) -> SerializationError:
        steps, part = find_unserializable(tree, self._can_write)
        whole = path + steps if path else _section_path(steps)
        return SerializationError(
            f"{whole or 'The checkpoint'} can't be saved: the format {self.format.name!r} can't write a "
            f"{class_name(type(part))}: {describe(error)}. Convert it to plain values, or give the backend a "
            "serializer. Nothing was written.",
            path=whole,
        )

    def _can_write(self, value: Any) -> bool:
        try:
            self.format.dumps(value)
        except Exception:
            return False
        return True


class _SectionEncoder:
    """Encodes the sections of one checkpoint, for a format that composes payloads: only what the cache lacks is encoded."""

    __slots__ = ("_budget", "_cache", "_composer", "_encoder", "_keep_apart", "_writer")

    def __init__(
        self,
        encoder: Encoder,
        writer: TreeWriter,
        composer: Composer,
        cache: EncodingCache,
        cost_budget: CostBudget | None,
        keep_apart: KeepApart | None,
    ) -> None:
        self._encoder = encoder
        self._writer = writer
        self._composer = composer
        self._cache = cache
        self._budget = cost_budget
        self._keep_apart = keep_apart

    def encode(self, sections: Mapping[str, Any]) -> dict[str, Encoded]:
        """Each section, encoded, by its name."""
        encoded: dict[str, Encoded] = {}
        kept = self._cache.kept
        for name, section in SECTIONS.items():
            values = sections[name]
            if section.is_keyed and (type(values) is Captured or isinstance(values, dict)):
                encoded[name] = self._items(name, values)
            elif section.is_kept and name in kept and kept[name][0] is values:
                encoded[name] = kept[name][1]
            elif isinstance(values, dict):
                encoded[name] = self._whole(name, section, values)
                if section.is_kept:
                    kept[name] = values, encoded[name]
            elif not section.takes(values):
                raise _no_section(name, values)
            else:
                self._cache.drop(name)
                if not section.may_be_absent:
                    encoded[name] = self._encoder.dump(None, name)
        return encoded

    def _items(self, name: str, values: Mapping[str, Any]) -> Encoded:
        """A mapping key by key; in chunks where it has many items."""
        if not values:  # as the node states of many a graph
            if name in self._cache.mappings:
                self._cache.drop(name)
            return _NO_ITEMS
        cached = self._cache.mapping(name, values, self._item)
        if cached is None:
            return self._encoder.dump(self._writer.mapping(values, name), name)
        if self._keep_apart is None or (chunks := cached.chunks()) is None:
            return cached.items()
        return self._chunked(chunks, self._keep_apart)

    def _item(self, name: str, key: str, value: Any) -> bytes:
        """One value, or the references to it where it is large."""
        if self._budget is not None:
            self._budget.add(value)
        encoder, cache, path = self._encoder, self._cache, _path(name, key)
        if self._keep_apart is None or cache.writer is None:
            return self._composer.item(key, encoder.dump(self._writer.tree(value, path), path))
        cache.buffers.clear()
        data = encoder.dump(cache.writer.tree(value, path), path)
        names: tuple[str, ...] = ()
        if len(data) >= cache.large_from:
            ref = self._keep_apart(data)
            data, names = encoder.dump(ref.tree(), path), (ref.name,)
        if cache.buffers.size:
            refs = [self._keep_apart(chunk) for chunk in cache.buffers.take_chunks()]
            data, names = self._buffered(data, refs), (*names, *[ref.name for ref in refs])
        cache.refer((name, key), names)
        return self._composer.item(key, data)

    def _buffered(self, data: bytes, refs: Sequence[BlobRef]) -> bytes:
        """A value, or the reference to it, with those to its large buffers."""
        chunks = self._encoder.dump({str(number): ref.tree() for number, ref in enumerate(refs)}, "")
        return self._composer.compose({BUFFERED: self._composer.compose({VALUE: data, CHUNKS: chunks})})

    def _chunked(self, chunks: Chunks, keep_apart: KeepApart) -> bytes:
        def store(content: bytes) -> tuple[str, bytes]:
            ref = keep_apart(content)
            return ref.name, self._encoder.dump(ref.tree(), "")

        return chunks.compose(store, self._composer.compose)

    def _whole(self, name: str, section: Section, values: dict[str, Any]) -> Encoded:
        """A section in one piece, unless there are large values in it, or mappings that say what changed in them."""
        members = section.keyed_members if not self._writer.has_hook else ()
        for member in members:
            if type(values.get(member)) is Captured:
                return self._composed(name, values, members)
        if self._budget is not None:
            self._budget.add_mapping(values)
        keeping = self._cache.writer if self._keep_apart and (members or section.is_keyed_if_large) else None
        data = self._encoder.dump((keeping or self._writer).mapping(values, name), name)
        if keeping is not None and self._cache.buffers.size:
            return self._composed(name, values, members) if members else self._items(name, values)
        if section.is_keyed_if_large:
            if keeping is not None and len(data) >= self._cache.large_from:
                return self._items(name, values)
            self._cache.drop(name)
        if name in self._cache.composed:
            self._cache.composed.remove(name)
            self._drop_members(name, section.keyed_members, {})
        return data

    def _drop_members(self, name: str, members: Iterable[str], values: Mapping[str, Any]) -> None:
        """Forget those mappings in a section that are none any more, or not there."""
        for member in members:
            if (
                not isinstance(values.get(member), dict | Captured)
                and (path := _path(name, member)) in self._cache.mappings
            ):
                self._cache.drop(path)

    def _composed(self, name: str, values: dict[str, Any], members: tuple[str, ...]) -> DeferredPayload:
        """A section with mappings in it that are encoded key by key.

        :param members: their names.
        """
        encoded: dict[str, Encoded] = {}
        self._cache.composed.add(name)
        for key, value in values.items():
            if key in members and (type(value) is Captured or isinstance(value, dict)):
                encoded[key] = self._items(_path(name, key), value)
            else:
                if self._budget is not None:
                    self._budget.add(value)
                path = _path(name, key)
                encoded[key] = self._encoder.dump(self._writer.tree(value, path), path)
        self._drop_members(name, members, values)
        return DeferredPayload(self._composer, encoded)


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


def _no_section(name: str, values: object) -> SerializationError:
    return SerializationError(f"{name} is a {type(values).__name__}, not a dict. Nothing was written.", path=name)


def _instant(timestamp: datetime) -> datetime:
    if type(timestamp) is datetime and timestamp.tzinfo is UTC:
        return timestamp
    try:
        return timestamp.astimezone(UTC)
    except (AttributeError, OverflowError, OSError, ValueError) as error:
        raise SerializationError(
            f"The timestamp {timestamp!r} has no equivalent in UTC. Nothing was written.", path="timestamp"
        ) from error


@lru_cache(maxsize=1024)
def _path(section: str, key: str) -> str:
    """What an error would call the value. The same few keys change in every checkpoint."""
    return f"{section}[{key!r}]"


def _section_path(steps: str) -> str:
    """``['graph_state'][…]`` of a whole checkpoint, as users know it: ``graph_state[…]``."""
    name = next((name for name in (*SECTIONS, *FACTS) if steps.startswith(f"['{name}']")), "")
    return name + steps[len(name) + 4 :] if name else steps
