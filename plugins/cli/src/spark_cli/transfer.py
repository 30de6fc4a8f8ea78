"""Records carried from one place to another as they are stored, so that doing it again goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import NoReturn, Protocol

from spark.errors import CheckpointDamagedError, SequenceTakenError
from spark.graphs.checkpoint import CheckpointInfo, Record


class Place(Protocol):
    """Where records are: any backend, or an archive."""

    async def list(self, graph_id: str | None = None) -> list[CheckpointInfo]:
        """The checkpoints of a graph, by sequence; with None those of all graphs."""

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        """The whole record at an address, or None."""

    async def put(self, record: Record) -> None:
        """Store a record durably, where its sequence was never used."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A checkpoint that was not carried, and why."""

    graph_id: str
    sequence: int
    checkpoint_id: str
    reason: str


@dataclass(slots=True)
class Outcome:
    """What was carried, and what was not."""

    copied: int = 0
    present: int = 0
    """Those that were there already, the same."""
    conflicts: list[Problem] = field(default_factory=list)
    """Those in whose place something else is, or was. One for each graph of which, therefore, nothing more was carried."""
    damaged: list[Problem] = field(default_factory=list)
    """Those that are not what was written, where they come from."""

    @property
    def is_fine(self) -> bool:
        """Whether everything is there now."""
        return not self.conflicts and not self.damaged


async def transfer(
    source: Place, target: Place, *, graph_ids: Sequence[str] = (), report: Callable[[int, int], None] | None = None
) -> Outcome:
    """Carry records, graph by graph and by rising sequence, so that whatever stops it, the target holds whole beginnings.

    :param graph_ids: only those of these graphs; none means all.
    :param report: told how many of how many are done.
    """
    infos = [info for graph_id in graph_ids or (None,) for info in await source.list(graph_id)]
    work = _Transfer(source, target, total=len(infos), report=report)
    for graph_id, group in groupby(infos, attrgetter("graph_id")):
        await work.carry_graph(graph_id, list(group))
    return work.outcome


class _Conflict(Exception):
    """Nothing more of this graph is to be carried."""


class _Transfer:
    def __init__(self, source: Place, target: Place, *, total: int, report: Callable[[int, int], None] | None) -> None:
        self._source = source
        self._target = target
        self._total = total
        self._done = 0
        self._report = report
        self.outcome = Outcome()

    async def carry_graph(self, graph_id: str, infos: Sequence[CheckpointInfo]) -> None:
        there = {info.sequence for info in await self._target.list(graph_id)}
        with suppress(_Conflict):
            # Before anything is added: two histories must not be mixed.
            for info in infos:
                if info.sequence in there:
                    await self._compare(info)
            for info in infos:
                if info.sequence not in there:
                    await self._carry(info)

    async def _compare(self, info: CheckpointInfo) -> None:
        record = await self._read(info)
        if record is not None and not await self._holds(record):
            self._refuse(info, "another record has its place")
        self.outcome.present += record is not None
        self._tick()

    async def _carry(self, info: CheckpointInfo) -> None:
        record = await self._read(info)
        if record is not None:
            try:
                await self._target.put(record)
            except SequenceTakenError:
                self._refuse(info, "its place was used there before")
            self.outcome.copied += 1
        self._tick()

    async def _read(self, info: CheckpointInfo) -> Record | None:
        """The record, or None when it was deleted since it was listed, or is damaged, which is noted."""
        try:
            record = await self._source.get(info.graph_id, info.sequence)
        except CheckpointDamagedError as error:
            self.outcome.damaged.append(_problem(info, str(error)))
            return None
        if record is not None and not record.is_intact():
            self.outcome.damaged.append(_problem(info, "its checksum does not match its content"))
            return None
        return record

    async def _holds(self, record: Record) -> bool:
        try:
            return await self._target.get(record.graph_id, record.sequence) == record
        except CheckpointDamagedError:
            return False

    def _refuse(self, info: CheckpointInfo, reason: str) -> NoReturn:
        self.outcome.conflicts.append(_problem(info, reason))
        raise _Conflict

    def _tick(self) -> None:
        self._done += 1
        if self._report is not None:
            self._report(self._done, self._total)


def _problem(info: CheckpointInfo, reason: str) -> Problem:
    return Problem(info.graph_id, info.sequence, info.checkpoint_id, reason)
