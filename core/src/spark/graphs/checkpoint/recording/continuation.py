"""What a run begins with that continues the graph's latest record: how that is stored, so that only what is new is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.decoder import StoredLayout
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.records.blobs import birth
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.limits import Inflation


class Known(NamedTuple):
    """What whoever encodes the next record knows of the last one."""

    cache: EncodingCache
    inflation: Inflation


class Continuation(Protocol):
    """How one record is stored. It serves one run, which changes it."""

    @property
    def info(self) -> CheckpointInfo:
        """The line of that record."""

    def known(self, codec: RecordCodec, unknown: Known) -> Known | None:
        """What a run has to know of it; None where the run writes in another way, so that it can't continue from there.

        :param codec: what the run encodes with.
        :param unknown: as of a first record, to be filled in.
        """


class LeftByRun(NamedTuple):
    """The last record of a run of this process, whose values live on."""

    info: CheckpointInfo
    left: Known

    def known(self, codec: RecordCodec, unknown: Known) -> Known | None:
        """The very same."""
        return self.left


class LoadedRecord(NamedTuple):
    """A record that was loaded."""

    layout: StoredLayout
    values: Mapping[str, Any]
    """What its sections were read as, as far as a run begins with the same objects."""

    @property
    def info(self) -> CheckpointInfo:
        """Its line."""
        return self.layout.info

    def known(self, codec: RecordCodec, unknown: Known) -> Known | None:
        """What its layout tells. Nothing where it was copied from another place in a history, so that names don't say when
        large values were made.
        """
        layout = self.layout
        refs = [ref for section in layout.sections.values() for ref in section.refs()]
        if not refs and layout.header.raw_size < unknown.cache.thresholds.blob_cost:
            return None  # all of it is written again by each checkpoint
        if any(not 0 < (birth(ref.name) or 0) <= self.info.sequence for ref in refs):
            return None
        if not codec.adopt(layout, self.values, unknown.cache):
            return None
        for ref in refs:
            members = layout.members.get(ref.name, 0)
            unknown.inflation.count(ref.name, size=ref.size, raw_size=ref.raw_size, members=members)
        return unknown
