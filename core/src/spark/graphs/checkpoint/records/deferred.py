"""A record that is encoded when somebody reads it, for stores that keep the very objects that they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.record import Record, RecordHeader

Encode: TypeAlias = Callable[..., Record]
"""Encodes the record, the same each time, in any thread. It may be given a ``cost_budget``, and raises when that is exceeded."""


class DeferredRecord(Record):
    """An automatic checkpoint of which only the line in listings is made. It is encoded for whatever else is read of it.

    Until then it refers to the captured values, which are immutable and mostly those of the records before and after it.

    :param encode: refers to nothing that is ever changed.
    """

    __slots__ = ("_encode", "_encoded", "_info")

    def __init__(self, encode: Encode, info: CheckpointInfo) -> None:
        self.graph_id = info.graph_id
        self.sequence = info.sequence
        self.blobs = {}
        self._encode = encode
        self._info = info
        self._encoded: Record | None = None
        """The encoded record, once it was read."""

    def encoded(self, **options: object) -> Record:
        """The record itself, encoded once.

        :param options: for ``encode``.
        """
        if self._encoded is None:
            self._encoded = self._encode(**options)  # the same in each thread
        return self._encoded

    def copy(self) -> DeferredRecord:
        """Another one for somebody who reads it: what is encoded for that is not kept here."""
        return DeferredRecord(self._encode, self._info)

    def with_blobs(self, blobs: Mapping[str, bytes]) -> Record:
        return self.encoded().with_blobs(blobs)

    @property
    def header(self) -> RecordHeader:
        return self.encoded().header

    @property
    def payload(self) -> bytes:
        return self.encoded().payload

    def info(self) -> CheckpointInfo:
        return self._info

    def __reduce__(self) -> tuple[type[Record], tuple[RecordHeader, bytes]]:
        return Record, (self.header, self.payload)


def size_of(encode: Encode) -> int:
    """The stored size of what is encoded so, in bytes."""
    return encode().header.size
