"""A record that is encoded when somebody reads it, for stores that keep the very objects that they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias

from spark.graphs.checkpoint.ids import automatic_id
from spark.graphs.checkpoint.records.info import CheckpointInfo, Scalar
from spark.graphs.checkpoint.records.record import Record, RecordHeader

Encode: TypeAlias = Callable[..., Record]
"""Encodes the record, the same each time; takes ``cost_budget``, and raises what exceeds it."""


class DeferredRecord(Record):
    """An automatic checkpoint of which only the address is made. Whatever else is read of it, it is encoded for.

    Until then it refers to the captured values, which are immutable and mostly those of the records before and after it.

    :param encode: refers to nothing that is ever changed.
    :param metadata: what the checkpoint can be searched for.
    """

    __slots__ = ("_encode", "_encoded", "_metadata", "_timestamp")

    def __init__(
        self, encode: Encode, *, graph_id: str, sequence: int, timestamp: datetime, metadata: dict[str, Scalar]
    ) -> None:
        self.graph_id = graph_id
        self.sequence = sequence
        self.blobs = {}
        self._timestamp = timestamp
        self._metadata = metadata
        self._encode = encode
        self._encoded: list[Record] = []
        """The encoded record, once it was read."""

    def encoded(self, **options: object) -> Record:
        """The record itself, encoded once. May be called in any thread.

        :param options: for ``encode``.
        """
        made = self._encoded
        if not made:
            made.append(self._encode(**options))
        return made[0]  # of several threads, the first

    def copy(self) -> DeferredRecord:
        """Another one for somebody who reads it: what is encoded for that is not kept here."""
        return DeferredRecord(
            self._encode,
            graph_id=self.graph_id,
            sequence=self.sequence,
            timestamp=self._timestamp,
            metadata=self._metadata,
        )

    def with_blobs(self, blobs: Mapping[str, bytes]) -> Record:
        return self.encoded().with_blobs(blobs)

    @property
    def header(self) -> RecordHeader:
        """What is known without decoding the payload."""
        return self.encoded().header

    @property
    def payload(self) -> bytes:
        """The encoded content."""
        return self.encoded().payload

    def __reduce__(self) -> tuple[type[Record], tuple[RecordHeader, bytes]]:
        return Record, (self.header, self.payload)

    def info(self) -> CheckpointInfo:
        """The line that this record makes in a listing."""
        return CheckpointInfo(
            checkpoint_id=automatic_id(self.graph_id, self.sequence),
            graph_id=self.graph_id,
            sequence=self.sequence,
            timestamp=self._timestamp,
            size=self._size,
            manual=False,
            metadata=self._metadata,
        )

    def _size(self) -> int:
        return (self._encoded[0] if self._encoded else self.copy()).header.size
