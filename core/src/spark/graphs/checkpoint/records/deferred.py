"""A record that is encoded when somebody reads it, for stores that keep the very objects that they are given."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Protocol

from spark.graphs.checkpoint.ids import automatic_id
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.query import searchable
from spark.graphs.checkpoint.records.record import Record, RecordHeader

_NO_BLOBS: Final[Mapping[str, bytes]] = MappingProxyType({})


class Sectioned(Protocol):
    """What was captured."""

    @property
    def sections(self) -> Mapping[str, Any]:
        """By their names: the same each time, in any thread."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The section ``execution_metadata``."""


class SectionsEncoder(Protocol):
    """What encodes the records of a run: the same each time, in any thread."""

    def encoded(
        self,
        sections: Mapping[str, Any],
        sequence: int,
        parent: int | None,
        timestamp: datetime,
        attempt: int,
        *,
        cost_budget: Any = None,
    ) -> Record:
        """The record of what was captured.

        :param attempt: counts what the run has tried to write.
        :param cost_budget: a ``CostBudget``; it raises when there is more to do.
        """


class DeferredRecord(Record):
    """An automatic checkpoint that is encoded for whatever is read of it, but for the line in listings.

    Until then it refers to the captured values, which are immutable and mostly those of the records before and after it. A
    history may have thousands of these, so each is as few objects as possible: the garbage collector looks at all of them.

    :param encoder: that of all records of the run.
    """

    __slots__ = ("_attempt", "_capture", "_encoded", "_encoder", "_parent", "_size", "_timestamp")

    def __init__(
        self,
        encoder: SectionsEncoder,
        capture: Sectioned,
        graph_id: str,
        sequence: int,
        parent: int | None,
        timestamp: datetime,
        attempt: int,
    ) -> None:
        self.graph_id = graph_id
        self.sequence = sequence
        self.blobs = _NO_BLOBS
        self._encoder = encoder
        self._capture = capture
        self._parent = parent
        self._timestamp = timestamp
        self._attempt = attempt
        self._encoded: Record | None = None
        """The encoded record, once it was read."""
        self._size = -1
        """Its stored size in bytes, once that was read."""

    def encoded(self, *, cost_budget: Any = None) -> Record:
        """The record itself, encoded once.

        :param cost_budget: a ``CostBudget``; it raises when there is more to do.
        """
        if self._encoded is None:  # the same in each thread
            self._encoded = self._encoder.encoded(
                self._capture.sections,
                self.sequence,
                self._parent,
                self._timestamp,
                self._attempt,
                cost_budget=cost_budget,
            )
        return self._encoded

    def copy(self) -> DeferredRecord:
        """Another one for somebody who reads it: what is encoded for that is not kept here."""
        return DeferredRecord(
            self._encoder,
            self._capture,
            self.graph_id,
            self.sequence,
            self._parent,
            self._timestamp,
            self._attempt,
        )

    def with_blobs(self, blobs: Mapping[str, bytes]) -> Record:
        return self.encoded().with_blobs(blobs)

    @property
    def header(self) -> RecordHeader:
        return self.encoded().header

    @property
    def payload(self) -> bytes:
        return self.encoded().payload

    def info(self) -> CheckpointInfo:
        return CheckpointInfo.deferred(self.graph_id, self.sequence, self._timestamp, self._parent, find=self._find)

    def _find(self, name: str) -> Any:
        """A field of its line."""
        if name == "checkpoint_id":
            return automatic_id(self.graph_id, self.sequence)
        if name == "metadata":
            return searchable(self._capture.metadata)
        if self._size < 0:
            self._size = self.copy().header.size
        return self._size

    def __reduce__(self) -> tuple[type[Record], tuple[RecordHeader, bytes]]:
        return Record, (self.header, self.payload)
