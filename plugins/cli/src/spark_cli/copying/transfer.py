"""Records copied from one place to another as they are stored. Done again, it resumes where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from typing import Final, NoReturn, Protocol, TypeAlias

from spark.errors import CheckpointDamagedError, DeserializationError, PluginError, SequenceTakenError, SparkError
from spark.graphs.checkpoint import CheckpointInfo, DamagedRecord, Listing
from spark.graphs.checkpoint.storage import (
    DERIVED_KINDS,
    BlobRef,
    CheckpointBackend,
    Record,
    RecordCodec,
    RecordHeader,
    Records,
    derived_id,
    in_batches,
    is_derived,
    run_blocking,
)

Names: TypeAlias = list[str]

_NOT_COPIED: Final = (CheckpointDamagedError, DeserializationError, PluginError)


class Place(Protocol):
    """Where records are: any backend, or an archive."""

    @property
    def keeps_blobs(self) -> bool:
        """Whether large values are kept beside the records that refer to them."""

    async def list(self, graph_id: str | None = None) -> Listing:
        """The checkpoints of a graph, by sequence, and what is damaged; with None those of all graphs."""

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        """The whole record at an address, or None."""

    async def get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
        """The records of a graph at these sequences, as far as there are any, and what is damaged there."""

    async def put(self, record: Record) -> None:
        """Store a record and its large values durably, where its sequence was never used."""

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        """Name to content of these large values of a graph, as far as they are there."""

    async def blob_names(self, graph_id: str) -> Names:
        """The names of all large values of a graph."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A checkpoint that was not copied, and why."""

    graph_id: str
    sequence: int
    checkpoint_id: str
    reason: str


@dataclass(slots=True)
class Outcome:
    """What was copied, and what was not."""

    copied: int = 0
    present: int = 0
    """Those that were there already, byte for byte."""
    conflicts: list[Problem] = field(default_factory=list)
    """Those whose sequence another record has or had: one for each graph of which nothing more was copied for that reason."""
    damaged: list[Problem] = field(default_factory=list)
    """Those that are damaged in the source, or lack a large value there."""
    unlisted: list[DamagedRecord] = field(default_factory=list)
    """What is in the place of a checkpoint in the source, and could not even be listed."""
    unreadable: list[Problem] = field(default_factory=list)
    """Those that are intact, but need a format that is not installed to name their large values, or a key to include them."""

    @property
    def is_fine(self) -> bool:
        """Whether the target has everything now."""
        return not (self.conflicts or self.damaged or self.unlisted or self.unreadable)


async def transfer(
    source: Place, target: Place, *, graph_ids: Sequence[str] = (), report: Callable[[int, int], None] | None = None
) -> Outcome:
    """Copy records, graph by graph and by rising sequence, so that whenever it stops, the target has whole beginnings.

    Large values are sent with the first record that needs them. A target that keeps none gets them inside the records.

    :param graph_ids: only those of these graphs; all when empty.
    :param report: called with how many are done, and how many there are.
    """
    listings = [await source.list(graph_id) for graph_id in _with_derived(graph_ids) or (None,)]
    infos = [info for listing in listings for info in listing.infos]
    # First what is stored beside graphs, so that no run over there misses a message that was sent.
    infos.sort(key=lambda info: not is_derived(info.graph_id))
    work = _Transfer(source, target, total=len(infos), report=report)
    work.outcome.unlisted += [damaged for listing in listings for damaged in listing.damaged]
    for graph_id, group in groupby(infos, attrgetter("graph_id")):
        await work.copy_graph(graph_id, list(group))
    return work.outcome


def _with_derived(graph_ids: Sequence[str]) -> list[str]:
    """These graphs, and what is stored beside them."""
    return [id for each in graph_ids for id in (each, *(derived_id(kind, each) for kind in DERIVED_KINDS))]


class _Conflict(Exception):
    """Nothing more of this graph is to be copied."""


@dataclass(frozen=True, slots=True)
class _Found:
    record: Record
    names: Names
    """The large values that it may need."""
    refs: list[BlobRef]
    """What its payload says about them, if it names them."""


class _Transfer:
    def __init__(self, source: Place, target: Place, *, total: int, report: Callable[[int, int], None] | None) -> None:
        self._source = source
        self._target = target
        self._total = total
        self._done = 0
        self._report = report
        self._codec = source.record_codec if isinstance(source, CheckpointBackend) else RecordCodec()
        self.outcome = Outcome()

    async def copy_graph(self, graph_id: str, infos: Sequence[CheckpointInfo]) -> None:
        there = {info.sequence for info in (await self._target.list(graph_id)).infos}
        with suppress(_Conflict):
            # Before anything is added: two histories must not be mixed.
            kept: Names = []
            for batch in in_batches(info for info in infos if info.sequence in there):
                kept += await self._compare(batch)
            # What a record over there refers to was durable before it, and need not be sent again. Any other value is, also
            # one that is there: a copy that was killed may have left half of it.
            held = set(kept) & set(await self._target.blob_names(graph_id)) if kept else set()
            for batch in in_batches(info for info in infos if info.sequence not in there):
                for info, found in await self._read(batch):
                    held.update(await self._copy(info, found, held))

    async def _compare(self, batch: Sequence[CheckpointInfo]) -> Names:
        """Check that the target has the same records; returns the large values that they refer to."""
        theirs = (await self._target.get_many(batch[0].graph_id, [info.sequence for info in batch])).records
        names: Names = []
        for info, found in await self._read(batch):
            if found is not None and not self._is_same(found.record, theirs.get(info.sequence)):
                self._refuse(info, "another record has its sequence")
            self.outcome.present += found is not None
            self._tick()
            names += [ref.name for ref in found.refs] if found else []
        return names

    async def _copy(self, info: CheckpointInfo, found: _Found | None, held: set[str]) -> Names:
        """Copy it; returns the large values that the target has with it."""
        record = None if found is None else await self._packed(info, found, held)
        if record is not None:
            try:
                await self._target.put(record)
            except SequenceTakenError:
                self._refuse(info, "its sequence was used there before")
            self.outcome.copied += 1
        self._tick()
        return found.names if found and record else []

    async def _read(self, batch: Sequence[CheckpointInfo]) -> list[tuple[CheckpointInfo, _Found | None]]:
        """The records; None for one that was deleted since it was listed, or can't be copied, which is noted."""
        read = await self._source.get_many(batch[0].graph_id, [info.sequence for info in batch])
        damaged = {each.sequence: each.reason for each in read.damaged}
        return [
            (info, await self._checked(info, read.records.get(info.sequence), damaged.get(info.sequence)))
            for info in batch
        ]

    async def _checked(self, info: CheckpointInfo, record: Record | None, damage: str | None) -> _Found | None:
        try:
            if damage is not None:
                raise CheckpointDamagedError(damage)
            if record is None:
                return None
            if not record.is_intact():
                raise CheckpointDamagedError("its checksum does not match its content")
            return await self._found(record)
        except _NOT_COPIED as error:
            self._note(info, error)
            return None

    async def _found(self, record: Record) -> _Found:
        """The record with what it may need: any large value of its graph, if its payload does not tell."""
        if not self._source.keeps_blobs:
            return _Found(record, [], [])
        if not record.header.references_in_payload:
            return _Found(record, await self._source.blob_names(record.graph_id), [])
        try:
            refs = await run_blocking(self._codec.references, record)
        except (DeserializationError, PluginError):
            # What can't be decoded here, such as without the key of an encryption, can still be copied.
            if not record.header.codecs:
                raise
            return _Found(record, await self._source.blob_names(record.graph_id), [])
        return _Found(record, [ref.name for ref in refs], refs)

    async def _packed(self, info: CheckpointInfo, found: _Found, held: set[str]) -> Record | None:
        """The record with what the target needs of its large values; None as above."""
        record, keeps_blobs = found.record, self._target.keeps_blobs
        needed = [name for name in found.names if not (keeps_blobs and name in held)]
        if not needed:
            return record
        blobs = await self._source.get_blobs(info.graph_id, needed)
        # Retention may have passed by since the record was read.
        if len(blobs) < len(needed) and await self._source.get(info.graph_id, info.sequence) is None:
            return None
        try:
            await run_blocking(_check, [ref for ref in found.refs if ref.name in needed], blobs)
            if not keeps_blobs:
                return await run_blocking(self._codec.inline_blobs, record, blobs)
        except _NOT_COPIED as error:
            self._note(info, error)
            return None
        return record.with_blobs(blobs)

    def _is_same(self, record: Record, theirs: Record | None) -> bool:
        if theirs is None or self._source.keeps_blobs == self._target.keeps_blobs:
            return theirs == record
        # One of the two holds large values inside. All else is the same, and the nonce is that of one record only.
        return theirs == record or (theirs.is_intact() and _without_content(theirs) == _without_content(record))

    def _note(self, info: CheckpointInfo, error: SparkError) -> None:
        problems = self.outcome.damaged if isinstance(error, CheckpointDamagedError) else self.outcome.unreadable
        problems.append(_problem(info, str(error)))

    def _refuse(self, info: CheckpointInfo, reason: str) -> NoReturn:
        self.outcome.conflicts.append(_problem(info, reason))
        raise _Conflict

    def _tick(self) -> None:
        self._done += 1
        if self._report is not None:
            self._report(self._done, self._total)


def _problem(info: CheckpointInfo, reason: str) -> Problem:
    return Problem(info.graph_id, info.sequence, info.checkpoint_id, reason)


def _check(refs: Sequence[BlobRef], blobs: Mapping[str, bytes]) -> None:
    for ref in refs:
        if ref.name not in blobs:
            raise CheckpointDamagedError(f"its large value {ref.name!r} is missing")
        if not ref.is_intact(blobs[ref.name]):
            raise CheckpointDamagedError(f"its large value {ref.name!r} is not what was written")


def _without_content(record: Record) -> RecordHeader:
    return replace(record.header, size=0, raw_size=0, compression="", checksum="")
