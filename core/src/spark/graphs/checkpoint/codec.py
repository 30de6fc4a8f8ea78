"""Checkpoint ↔ record: tree, format, compression, checksum, signature."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from types import NoneType
from typing import Any, Final, NoReturn

from spark.errors import (
    CheckpointDamagedError,
    DeserializationError,
    InvalidIdError,
    SerializationError,
    SparkError,
)
from spark.graphs.checkpoint.compression import compress, compression_name, decompress, is_plausible
from spark.graphs.checkpoint.culprit import find_culprit
from spark.graphs.checkpoint.format import Format
from spark.graphs.checkpoint.fragments import FragmentCache
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.object_hook import ObjectHook
from spark.graphs.checkpoint.record import Record, RecordHeader
from spark.graphs.checkpoint.serializer import CheckpointSerializer
from spark.graphs.checkpoint.tree_reader import TreeReader
from spark.graphs.checkpoint.tree_writer import TreeWriter
from spark.graphs.checkpoint.unsaveable import describe
from spark.graphs.checkpoint.weight import Scale
from spark.graphs.loaded import class_name

_SECTIONS: Final = ("graph_state", "node_states", "execution_metadata", "config", "topology", "frontier")
"""The parts of a checkpoint that map names to a user's values; the last two may be None."""
_FACTS: Final = ("timestamp", "origin")
"""What else the payload holds: what the header has no place for. A timestamp only where it says more than the header's."""


class Codec:
    """Encodes checkpoints in one format, and decodes those of any installed format that is safe to load.

    It keeps no state between calls and may be used by several threads.

    :raises GraphDefinitionError: ``compression`` is not known.
    :raises PluginNotFoundError: no installed plugin provides ``format``.
    """

    def __init__(
        self,
        format: str | Format = "json",
        compression: bool | str = False,
        pretty_print: bool = False,
        serializer: CheckpointSerializer | None = None,
    ) -> None:
        self.format = _make_format(format, pretty_print=pretty_print) if isinstance(format, str) else format
        self.compression = compression_name(compression)
        self._writer = TreeWriter(serializer)
        self._facts_writer = TreeWriter()
        self._reader = TreeReader(serializer)
        self._hook = ObjectHook(serializer)
        self._signs = type(self.format).sign is not Format.sign
        self._can_join = not self.format.takes_objects and self.format.join([]) is not None

    def encode(
        self,
        checkpoint: GraphCheckpoint,
        *,
        sequence: int,
        manual: bool,
        nonce: str,
        cache: FragmentCache | None = None,
        scale: Scale | None = None,
    ) -> Record:
        """The record of a checkpoint. With a cache, only values that are new since its last use are encoded.

        :raises TooHeavyError: what has to be encoded is too much for the scale, if one was given.
        :raises SerializationError: a value can't be saved; the error has the path to it.
        """
        raw = self._write_payload(checkpoint, cache, scale)
        if cache is not None:
            cache.size = len(raw)
        packed = compress(raw) if self.compression else None
        payload = raw if packed is None else packed
        header = RecordHeader(
            checkpoint_id=checkpoint.checkpoint_id,
            graph_id=checkpoint.graph_id,
            sequence=sequence,
            parent=checkpoint.parent,
            timestamp=_instant(checkpoint.timestamp),
            manual=manual,
            version=checkpoint.version,
            format=self.format.name,
            compression="" if packed is None else self.compression,
            size=len(payload),
            raw_size=len(raw),
            nonce=nonce,
        )
        return self._seal(header, payload)

    def decode(self, record: Record) -> GraphCheckpoint:
        """The checkpoint that a record was made from.

        :raises CheckpointDamagedError: it is not what was written.
        :raises DeserializationError: it is intact, but a type in it, or its format, can't be used here.
        :raises PluginNotFoundError: its format is not installed.
        """
        header = record.header
        _check_intact(record)
        format = self._format_of(header)
        if not format.verify(header.canonical() + record.payload, header.signature):
            _raise_damaged(header, f"its {format.name} signature is missing, or was not made with the key in use here")
        tree = _load(format, header, _unpack(record))
        try:
            values = self._read_payload(format, tree)
        except DeserializationError as error:
            raise DeserializationError(f"{_name(header)} is intact, but can't be loaded: {error}") from error
        except CheckpointDamagedError as error:
            _raise_damaged(header, str(error), cause=error)
        return _make_checkpoint(header, values)

    def _seal(self, header: RecordHeader, payload: bytes) -> Record:
        sealed = header.canonical()
        digest = sha256(sealed)
        digest.update(payload)
        header.checksum = digest.hexdigest()
        if self._signs:
            header.signature = self.format.sign(sealed + payload)
        return Record(header, payload)

    def _write_payload(self, checkpoint: GraphCheckpoint, cache: FragmentCache | None, scale: Scale | None) -> bytes:
        if scale is not None:
            scale.add(checkpoint.frontier)
        if self._can_join:
            cache = FragmentCache() if cache is None else cache
            cache.claim(self)
            return self._join_payload(checkpoint, cache, scale)
        if scale is not None:
            scale.add(checkpoint.graph_state)
            scale.add(checkpoint.node_states)
        if self.format.takes_objects:
            return self._dump(self._objects(checkpoint))
        return self._dump(
            {name: self._section_tree(name, getattr(checkpoint, name)) for name in _SECTIONS}
            | {name: self._facts_writer.tree(fact, name) for name, fact in _facts(checkpoint).items()}
        )

    def _join_payload(self, checkpoint: GraphCheckpoint, cache: FragmentCache, scale: Scale | None) -> bytes:
        section, fact = self._section_member, self._fact_member
        payload = self.format.join(
            [
                self._cached_section(cache, scale, "graph_state", checkpoint.graph_state),
                self._cached_section(cache, scale, "node_states", checkpoint.node_states),
                section("execution_metadata", checkpoint.execution_metadata),
                cache.whole("config", checkpoint.config, section),
                cache.whole("topology", checkpoint.topology, section),
                section("frontier", checkpoint.frontier),
                *(cache.whole(name, value, fact) for name, value in _facts(checkpoint).items()),
            ]
        )
        assert payload is not None
        return payload

    def _cached_section(self, cache: FragmentCache, scale: Scale | None, name: str, values: dict[str, Any]) -> bytes:
        def encode(key: str, value: Any) -> bytes:
            if scale is not None:
                scale.add(value)
            path = f"{name}[{key!r}]"
            return self.format.member(key, self._dump(self._writer.tree(value, path), path))

        _check_section(name, values)
        members = cache.members(name, values, encode)
        section = None if members is None else self.format.join(members)
        return self._section_member(name, values) if section is None else self.format.member(name, section)

    def _section_member(self, name: str, values: dict[str, Any] | None) -> bytes:
        return self.format.member(name, self._dump(self._section_tree(name, values), name))

    def _section_tree(self, name: str, values: dict[str, Any] | None) -> Any:
        _check_section(name, values)
        return None if values is None else self._writer.mapping(values, name)

    def _fact_member(self, name: str, value: Any) -> bytes:
        return self.format.member(name, self._dump(self._facts_writer.tree(value, name), name))

    def _objects(self, checkpoint: GraphCheckpoint) -> dict[str, Any]:
        objects = {name: getattr(checkpoint, name) for name in _SECTIONS} | _facts(checkpoint)
        for name in _SECTIONS:
            _check_section(name, objects[name])
            if objects[name] is not None:
                objects[name] = self._hook.lower(objects[name], name)
        return objects

    def _dump(self, tree: Any, path: str = "") -> bytes:
        try:
            return self.format.dumps(tree)
        except Exception as error:
            raise self._explain(tree, path, error) from error

    def _explain(self, tree: Any, path: str, error: Exception) -> SerializationError:
        steps, part = find_culprit(tree, self._can_write)
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

    def _format_of(self, header: RecordHeader) -> Format:
        if header.format == self.format.name:
            return self.format
        kind = _format_class(header.format)
        if not kind.safe_to_load:
            raise DeserializationError(
                f"{_name(header)} was written in the format {header.format!r}. Loading that can run code, so it is "
                f"only done where it is asked for: if you trust this store, open it with format={header.format!r}."
            )
        return kind()

    def _read_payload(self, format: Format, tree: Any) -> dict[str, Any]:
        if type(tree) is not dict or not tree.keys() >= {*_SECTIONS, *_FACTS}:
            raise CheckpointDamagedError("its payload is no checkpoint, or lacks parts of one")
        read_section = self._lift_section if format.takes_objects else self._reader.mapping
        read_fact: Callable[[Any, str], Any] = (lambda value, _: value) if format.takes_objects else TreeReader().value
        values: dict[str, Any] = {name: read_fact(tree[name], name) for name in _FACTS}
        for name in _SECTIONS:
            is_absent = tree[name] is None and name in ("topology", "frontier")
            values[name] = None if is_absent else read_section(tree[name], name)
        return values

    def _lift_section(self, values: Any, name: str) -> dict[str, Any]:
        if type(values) is not dict:
            raise CheckpointDamagedError(f"its {name} is no mapping")
        return self._hook.lift(values, name)


def _make_format(name: str, *, pretty_print: bool) -> Format:
    kind: Any = _format_class(name)
    made: Format = kind(pretty_print=pretty_print) if kind.text else kind()
    return made


def _format_class(name: str) -> type[Format]:
    from spark.hooks.registry import format_class  # the registry knows plugins, which import this module

    return format_class(name)


def _facts(checkpoint: GraphCheckpoint) -> dict[str, Any]:
    timestamp = checkpoint.timestamp
    is_plain = type(timestamp) is datetime and timestamp.tzinfo is UTC
    return {"timestamp": None if is_plain else timestamp, "origin": checkpoint.origin}


def _check_section(name: str, values: object) -> None:
    if not isinstance(values, dict) and not (values is None and name in ("topology", "frontier")):
        raise SerializationError(f"{name} is a {type(values).__name__}, not a dict. Nothing was written.", path=name)


def _section_path(steps: str) -> str:
    """``['graph_state'][…]`` of a whole checkpoint, as users know it: ``graph_state[…]``."""
    name = next((name for name in (*_SECTIONS, *_FACTS) if steps.startswith(f"['{name}']")), "")
    return name + steps[len(name) + 4 :] if name else steps


def _instant(timestamp: datetime) -> datetime:
    if type(timestamp) is datetime and timestamp.tzinfo is UTC:
        return timestamp
    try:
        return timestamp.astimezone(UTC)
    except (AttributeError, OverflowError, OSError, ValueError) as error:
        raise SerializationError(
            f"The timestamp {timestamp!r} is no moment that can be told in UTC. Nothing was written.", path="timestamp"
        ) from error


def _check_intact(record: Record) -> None:
    header = record.header
    if len(record.payload) != header.size:
        _raise_damaged(header, f"it has {len(record.payload)} bytes instead of {header.size}")
    digest = sha256(header.canonical())
    digest.update(record.payload)
    if digest.hexdigest() != header.checksum:
        _raise_damaged(header, "its checksum does not match its content")


def _unpack(record: Record) -> bytes:
    header = record.header
    if header.compression not in ("", "gzip"):
        raise DeserializationError(
            f"{_name(header)} is compressed with {header.compression!r}, which this release can't unpack. "
            "Load it with the release that wrote it, or a newer one."
        )
    if not header.compression and header.raw_size == header.size:
        return record.payload
    if not header.compression or not is_plausible(size=header.size, raw_size=header.raw_size):
        _raise_damaged(header, f"its header says that {header.size} bytes hold {header.raw_size}")
    try:
        return decompress(record.payload, raw_size=header.raw_size)
    except (ValueError, MemoryError) as error:
        _raise_damaged(header, str(error), cause=error)


def _load(format: Format, header: RecordHeader, raw: bytes) -> Any:
    try:
        return format.loads(raw)
    except SparkError:
        raise
    except Exception as error:
        _raise_damaged(header, f"its payload is not the {format.name} it should be ({describe(error)})", cause=error)


def _make_checkpoint(header: RecordHeader, values: dict[str, Any]) -> GraphCheckpoint:
    if type(values["timestamp"]) not in (datetime, NoneType) or type(values["origin"]) not in (str, NoneType):
        _raise_damaged(header, "its timestamp or origin is none")
    values["timestamp"] = values["timestamp"] or header.timestamp
    names = ("checkpoint_id", "graph_id", "sequence", "parent", "version")
    try:
        return GraphCheckpoint(**values, **{name: getattr(header, name) for name in names})
    except InvalidIdError as error:
        _raise_damaged(header, str(error), cause=error)


def _raise_damaged(header: RecordHeader, reason: str, *, cause: BaseException | None = None) -> NoReturn:
    raise CheckpointDamagedError(
        f"{_name(header)} is damaged: {reason}. It was changed after it was written, or something else wrote it. "
        "An earlier checkpoint of this graph may be intact: list them, and load one of those."
    ) from cause


def _name(header: RecordHeader) -> str:
    return f"Checkpoint {header.checkpoint_id!r} (graph {header.graph_id!r}, sequence {header.sequence})"
