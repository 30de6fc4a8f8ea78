"""What a backend stores: a header, and a payload of bytes that it never looks into."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote
from types import NoneType
from typing import Any, Final

from spark.errors import CheckpointDamagedError, InvalidIdError
from spark.graphs.checkpoint.ids import automatic_id, check_checkpoint_id, check_stored_graph_id
from spark.graphs.checkpoint.records.buffers import Contents
from spark.graphs.checkpoint.records.checksum import checksum, is_right
from spark.graphs.checkpoint.records.info import CheckpointInfo, Scalar
from spark.graphs.checkpoint.records.query import are_searchable, written_all


@dataclass(slots=True, kw_only=True)
class RecordHeader:
    """Everything about a record that is known without decoding its payload. Never changed once the record is made."""

    checkpoint_id: str
    """The id that users know it by."""
    graph_id: str
    """The graph it belongs to; with ``sequence``, its address."""
    sequence: int
    """1, 2, 3… in the history of its graph."""
    parent: int | None
    """The sequence that this one continues, if any."""
    timestamp: datetime
    """When it was made, in UTC."""
    manual: bool
    """Made by hand: found by its id, exempt from retention."""
    version: str
    """The checkpoint format version of the payload's content."""
    format: str
    """The name of the format that made the payload, for instance ``"json"``."""
    compression: str
    """``"gzip"``, or ``""`` for none."""
    size: int
    """Length of the payload as stored, in bytes."""
    raw_size: int
    """Length of the payload before compression, in bytes."""
    nonce: str
    """Random and unique to this record, so that a writer recognises its own."""
    checksum: str = ""
    """Over the header's other fields and the payload: ``"sha256:…"``, in hex."""
    metadata: dict[str, Scalar] = field(default_factory=dict)
    """What can be searched for: short scalars of the checkpoint's metadata."""
    signature: str = ""
    """The format's signature over the same bytes, in hex, or ``""``."""
    references_in_payload: bool = False
    """``RecordCodec.references`` finds in the payload which large values the record needs. Where it can't, none of that graph are
    removed by the core while the record is there. Left out of what is stored when it is true."""
    codecs: tuple[str, ...] = ()
    """The names of the codecs that payload and large values passed, in this order. Left out of what is stored when empty."""
    serializer: str = ""
    """The name of the serializer that every value passed, if a plugin provides it. Left out of what is stored when empty."""

    def to_json(self) -> bytes:
        """The header as one line of JSON, an object with the fields as keys; ``from_json`` is its inverse."""
        return (
            f'{{"checkpoint_id":{quote(self.checkpoint_id)},"graph_id":{quote(self.graph_id)}'
            f',"sequence":{self.sequence},"parent":{_number_or_null(self.parent)}'
            f',"timestamp":"{_utc_text(self.timestamp)}","manual":{"true" if self.manual else "false"}'
            f',"version":{quote(self.version)},"format":{quote(self.format)},"compression":{quote(self.compression)}'
            f',"size":{self.size},"raw_size":{self.raw_size},"nonce":{quote(self.nonce)}'
            f',"checksum":{quote(self.checksum)},"signature":{quote(self.signature)},"metadata":{written_all(self.metadata)}'
            f"{'' if self.references_in_payload else _UNDECLARED_FIELD}"
            f"{_codecs_field(self.codecs)}{_serializer_field(self.serializer)}}}"
        ).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes) -> RecordHeader:
        """The header that ``to_json`` wrote, every field checked.

        :raises CheckpointDamagedError: these bytes are no header.
        """
        fields = _parse_object(data)
        if type(fields.get("timestamp")) is str:
            fields["timestamp"] = _parse_utc(fields["timestamp"])
        if type(codecs := fields.get("codecs")) is list:
            fields["codecs"] = tuple(codecs)
        header = cls.of(fields)
        if (
            header.to_json() != data
        ):  # JSON has several spellings for one value; a changed bit may turn one into another
            raise _damaged("its text is not what this library writes")
        return header

    @classmethod
    def of(cls, fields: dict[str, Any]) -> RecordHeader:
        """The header with these fields, which come from a store: every one is checked.

        :raises CheckpointDamagedError: they are no header.
        """
        fields = _DEFAULTS | fields
        if fields.keys() != _FIELD_TYPES.keys():
            raise _damaged(f"it has the fields {sorted(fields)}, not {sorted(_FIELD_TYPES)}")
        for name, types in _FIELD_TYPES.items():
            if type(fields[name]) not in types:
                raise _damaged(f"its {name} has the wrong type: {type(fields[name]).__name__}")
        _check_values(fields)
        return cls(**fields)

    def canonical(self) -> bytes:
        """Every field but checksum and signature in one unambiguous form: what these two cover besides the payload."""
        parent = "null" if self.parent is None else self.parent
        after = "" if self.references_in_payload else _UNDECLARED
        if self.codecs or self.serializer:
            after += _in_braces(_codecs_field(self.codecs)) + _in_braces(_serializer_field(self.serializer))
        return (
            f'["spark-record",{quote(self.checkpoint_id)},{quote(self.graph_id)},{self.sequence}'
            f',{parent},"{_utc_text(self.timestamp)}",{"1" if self.manual else "0"}'
            f",{_all_quoted(self.version, self.format, self.compression)}"
            f",{self.size},{self.raw_size},{quote(self.nonce)},{written_all(self.metadata)}{after}]"
        ).encode("ascii")


class Record:
    """One checkpoint as a backend sees it. Never changed."""

    __slots__ = ("_header", "_payload", "blobs", "graph_id", "sequence")

    def __init__(self, header: RecordHeader, payload: bytes, *, blobs: Mapping[str, bytes] | None = None) -> None:
        """A record.

        :param blobs: large values that have to be stored with it. Nothing says that its payload refers to them, so its header
            says that it may not; for values that it does refer to, there is ``with_blobs``.
        :raises ValueError: the header, which is signed, says otherwise.
        """
        if blobs and header.references_in_payload:
            header = _undeclared(header, payload)
        self._header = header
        self._payload = payload
        self.graph_id: str = header.graph_id
        """The graph it belongs to."""
        self.sequence: int = header.sequence
        """Its place in the history of that graph."""
        self.blobs: Mapping[str, bytes] = blobs or {}
        """Name to content of the large values that have to be stored with it, when it is put."""

    def with_blobs(self, blobs: Mapping[str, bytes]) -> Record:
        """The same record together with large values that it refers to, to be put into a store."""
        record = Record(self._header, self._payload)
        record.blobs = blobs
        return record

    @property
    def header(self) -> RecordHeader:
        """What is known without decoding the payload."""
        return self._header

    @property
    def payload(self) -> bytes:
        """The encoded content."""
        return self._payload

    @property
    def nbytes(self) -> int:
        """How many bytes it adds to a store, about: payload and large values."""
        size, blobs = self.header.size, self.blobs
        if not blobs:
            return size
        return size + (blobs.nbytes if isinstance(blobs, Contents) else sum(map(len, blobs.values())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and (self.header, self.payload) == (other.header, other.payload)

    def __repr__(self) -> str:
        return f"Record({self.header!r}, {self.payload!r})"

    def is_intact(self) -> bool:
        """Whether header and payload are those that the checksum was made over."""
        payload = self.payload
        return len(payload) == self.header.size and is_right(self.header.checksum, self.header.canonical(), payload)

    def info(self) -> CheckpointInfo:
        """The line that this record makes in a listing."""
        header = self._header
        return CheckpointInfo(
            checkpoint_id=header.checkpoint_id if header.manual else automatic_id(header.graph_id, header.sequence),
            graph_id=header.graph_id,
            sequence=header.sequence,
            timestamp=header.timestamp,
            size=header.size,
            manual=header.manual,
            metadata=header.metadata,
            parent=header.parent,
        )


_FIELD_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "checkpoint_id": (str,),
    "graph_id": (str,),
    "sequence": (int,),
    "parent": (int, NoneType),
    "timestamp": (datetime,),
    "manual": (bool,),
    "version": (str,),
    "format": (str,),
    "compression": (str,),
    "size": (int,),
    "raw_size": (int,),
    "nonce": (str,),
    "checksum": (str,),
    "signature": (str,),
    "metadata": (dict,),
    "references_in_payload": (bool,),
    "codecs": (tuple,),
    "serializer": (str,),
}
_DEFAULTS: Final[dict[str, Any]] = {"references_in_payload": True, "codecs": (), "serializer": ""}
"""Of the fields that are left out of what is stored when they have these."""
_UNDECLARED: Final = ',"references elsewhere"'
_UNDECLARED_FIELD: Final = ',"references_in_payload":false'
_LARGEST: Final = 2**63 - 1
_LOWEST: Final = {"sequence": 1, "parent": 0, "size": 0, "raw_size": 0}


@lru_cache(maxsize=64)
def _all_quoted(*names: str) -> str:
    """The same few names stand in every header."""
    return ",".join(map(quote, names))


def _undeclared(header: RecordHeader, payload: bytes) -> RecordHeader:
    """The header with the statement that what the record needs can't be told from its payload."""
    if header.signature:
        raise ValueError(
            f"Record {header.checkpoint_id!r} is signed as one whose payload names its large values, but other ones were given. "
            "Use with_blobs() for values that its payload refers to, or sign a header with references_in_payload=False."
        )
    changed = replace(header, references_in_payload=False)
    if is_right(header.checksum, header.canonical(), payload):
        changed.checksum = checksum(header.checksum.partition(":")[0], changed.canonical(), payload)
    return changed


def _parse_object(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(f"it is not JSON ({error})") from error
    if not isinstance(fields, dict):
        raise _damaged("it is not a JSON object")
    return fields


def _check_values(fields: dict[str, Any]) -> None:
    for name, lowest in _LOWEST.items():
        number = fields[name]
        if number is not None and not lowest <= number <= _LARGEST:
            raise _damaged(f"its {name} is out of range")
    try:
        check_checkpoint_id(fields["checkpoint_id"])
        check_stored_graph_id(fields["graph_id"])
    except InvalidIdError as error:
        raise _damaged(str(error)) from error
    if not _has_a_place_in_utc(fields["timestamp"]):
        raise _damaged("its timestamp has no time zone, or can't be expressed in UTC")
    if not {str}.issuperset(map(type, fields["codecs"])):
        raise _damaged("its codecs are not names")
    if not are_searchable(fields["metadata"]):
        raise _damaged("its metadata is not valid")


def _parse_utc(text: str) -> datetime:
    try:
        timestamp = datetime.fromisoformat(text)
    except ValueError as error:
        raise _damaged(f"its timestamp is not valid: {text[:40]!r}") from error
    # fromisoformat takes many spellings; only ours is right, so that no changed byte goes unnoticed. And in another zone it may
    # be a moment that UTC has no year for.
    if timestamp.utcoffset() != timedelta(0) or _utc_text(timestamp) != text:
        raise _damaged(f"its timestamp is not in UTC as ISO 8601: {text[:40]!r}")
    return timestamp


def _has_a_place_in_utc(timestamp: datetime) -> bool:
    if timestamp.tzinfo is UTC:
        return True
    try:
        return timestamp.utcoffset() is not None and bool(_utc_text(timestamp))
    except OverflowError:
        return False


def _utc_text(timestamp: datetime) -> str:
    return (timestamp if timestamp.tzinfo is UTC else timestamp.astimezone(UTC)).isoformat()


def _codecs_field(names: tuple[str, ...]) -> str:
    return f',"codecs":[{",".join(map(quote, names))}]' if names else ""


def _serializer_field(name: str) -> str:
    return f',"serializer":{quote(name)}' if name else ""


def _in_braces(field: str) -> str:
    return f",{{{field[1:]}}}" if field else ""


def _number_or_null(value: int | None) -> str:
    return "null" if value is None else str(value)


def _damaged(reason: str) -> CheckpointDamagedError:
    return CheckpointDamagedError(
        f"The header of a stored record can't be read: {reason}. The record was damaged or written by something else; "
        "delete it, or restore it from a copy. Earlier checkpoints are not affected."
    )
