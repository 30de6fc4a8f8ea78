"""What is stored of one graph, as far as the run that adds to it knows: what comes next, and whether another run took over."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Final

from spark.errors import CheckpointConflictError, CheckpointDamagedError, SequenceTakenError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.policies.branches import Aside, aside_in
from spark.graphs.checkpoint.policies.retention import KeepAll, Retention, are_rising
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.query import CheckpointQuery
from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.listing import Listing

SEQUENCE: Final = attrgetter("sequence")
"""Of a line."""
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)
_PAUSE: Final = timedelta(seconds=10)
"""A run that saved nothing for so long may have been stopped, and asks whether its history is still there."""


class History:
    """The automatic checkpoints of one graph. They are listed when the run begins; from then on the run keeps count.

    It looks again only where the store refuses a sequence, and after a pause.

    :param writer: begins the nonce of each record of this run.
    :param retention: what the lines are kept for; where nothing is ever deleted, nobody asks for them.
    """

    def __init__(self, graph_id: str, backend: CheckpointBackend, *, writer: str, retention: Retention) -> None:
        self.graph_id = graph_id
        self.backend = backend
        self._writer = writer
        self.remembers = not isinstance(retention, KeepAll)
        """Whether there is a line for each checkpoint."""
        self._with_metadata = retention.reads_metadata
        self.checkpoints: list[CheckpointInfo] = []
        """Those of its own branch that are stored and not about to be deleted, by sequence."""
        self.is_rising = True
        """Whether their timestamps rise with their sequences."""
        self.next_sequence = 1
        self.latest_sequence = 0
        """Of the graph's latest automatic checkpoint; 0 when there is none."""
        self.latest: CheckpointInfo | None = None
        """The last checkpoint that this run has made."""
        self.parent: int | None = None
        """The sequence of the checkpoint that the next one continues."""
        self.aside: Aside = Aside()
        """Which checkpoints are those of other branches. Retention leaves these alone."""
        self.others: list[CheckpointInfo] = []
        """Those of them that are stored, by sequence."""
        self._anchor: int | None = None
        """The sequence of the automatic record that this run continues. While the run leads the history, it stays in place."""
        self._known_to = 0
        """Whatever has a higher sequence was made by hand, by this run, or by another one that took over."""
        self._opened_at = 1
        self.found: CheckpointInfo | None = None
        """The latest automatic checkpoint when the run began, if everything could be read then."""
        self._seen_at = _LONG_AGO
        """When it was last known to be in the store."""

    async def open(self, *, parent: int | None, aside: str, next_sequence: int | None, now: datetime) -> None:
        """Look at the history before the run adds to it; ``Recorder.open`` has the parameters."""
        with wrapped(self.backend, "opening the history of graph ", self.graph_id):
            # Asked before looking: what is written after this is in the way of the run's first checkpoint.
            self.next_sequence = next_sequence or await self.backend.next_sequence(self.graph_id)
            listing = await self._list()
            known = [info for info in listing.infos if info.sequence < self.next_sequence and not info.manual]
            if parent is None and known:  # a run that begins anew leaves branches as they are
                aside = await self._aside_at(known[-1])
        if next_sequence is not None and any(info.sequence == parent for info in known):
            self._anchor = parent
        self.parent = parent
        self.latest_sequence = known[-1].sequence if known else 0
        self.found = known[-1] if known and not listing.damaged else None
        self._opened_at, self._known_to, self._seen_at = self.next_sequence, self.next_sequence - 1, now
        self.aside = Aside.of(aside)
        if parent is not None and parent < self.latest_sequence:
            self.aside = self.aside.with_range(parent + 1, self.latest_sequence)
        if self.aside and not listing.damaged:
            self.aside = self.aside.only_with(info.sequence for info in known)
        if self.remembers:
            if self.aside:
                self.others = [info for info in known if info.sequence in self.aside]
                known = [info for info in known if info.sequence not in self.aside]
            self.checkpoints, self.is_rising = known, are_rising(known)

    async def _aside_at(self, latest: CheckpointInfo) -> str:
        """What the latest automatic checkpoint says of other branches."""
        if latest.metadata:  # the listing said it
            return aside_in(latest.metadata)
        header = (await self.backend.latest_headers([self.graph_id])).headers.get(self.graph_id)
        if header is None or header.sequence != latest.sequence:  # one that was made by hand comes after it
            record = await self.backend.get(self.graph_id, latest.sequence)
            header = record.header if record is not None else None
        return aside_in(header.metadata) if header is not None else ""

    def continues(self, info: CheckpointInfo) -> bool:
        """Whether the run's first checkpoint follows this record directly: then that stays in place while the run leads, and
        what it refers to can be referred to again.
        """
        found = self.found
        # Its sequence alone would not do: the graph may have been forgotten and begun anew meanwhile.
        if found is None or (found.sequence, found.timestamp) != (info.sequence, info.timestamp):
            return False
        self._anchor = info.sequence
        return True

    def leads(self, header: RecordHeader) -> bool:
        """Whether this is the latest record that the run knows, in its own store or in one that has the very same."""
        own = self.latest if self.latest is not None else self.found
        return own is not None and (own.sequence, own.timestamp) == (header.sequence, header.timestamp)

    @property
    def has_grown(self) -> bool:
        """Whether a checkpoint of this run is stored."""
        return self._known_to >= self._opened_at

    def append(self, info: CheckpointInfo, *, at: datetime) -> None:
        """A checkpoint of this run is durable, so the next one continues it."""
        self._add(info)
        self.latest = info
        self.next_sequence = info.sequence + 1
        self._seen_at = at

    def remove(self, checkpoints: Iterable[CheckpointInfo]) -> None:
        """These are about to be deleted."""
        known, others = self.checkpoints, self.others
        for info in checkpoints:  # mostly the oldest
            if others and info.sequence in self.aside:
                others.remove(info)
                continue
            del known[0 if known[0] is info else bisect_left(known, info.sequence, key=SEQUENCE)]

    def restore(self, checkpoints: Iterable[CheckpointInfo]) -> None:
        """These could not be deleted."""
        left = [*checkpoints]
        self.others = sorted([*self.others, *(info for info in left if info.sequence in self.aside)], key=SEQUENCE)
        own = (info for info in left if info.sequence not in self.aside)
        self.checkpoints = sorted([*self.checkpoints, *own], key=SEQUENCE)

    def was_paused(self, now: datetime) -> bool:
        """Whether this run has not seen its history for so long that anything may have happened to it."""
        return now - self._seen_at > _PAUSE

    async def check_not_forgotten(self) -> None:
        """See that the store still knows of this history: of a forgotten one, it would refuse no sequence.

        :raises CheckpointConflictError: it does not.
        """
        with wrapped(self.backend, "looking for the history of graph ", self.graph_id):
            free = await self.backend.next_sequence(self.graph_id)
        if free <= self._known_to:
            raise CheckpointConflictError(
                f"This run of graph {self.graph_id!r} stopped: the store no longer knows checkpoint {self._known_to}. The graph "
                "was forgotten in the meantime, or the store was restored from an older copy. Nothing was written. "
                "Start a new run."
            )

    async def holds(self, record: Record) -> bool:
        """Whether what is stored in the place of a record is that very record, whose acknowledgement was lost."""
        with wrapped(self.backend, f"reading back sequence {record.sequence} of graph {self.graph_id!r}"):
            stored = await self.backend.get(self.graph_id, record.sequence)
        return stored is not None and stored.header.nonce == record.header.nonce

    async def skip_taken(self, taken: SequenceTakenError) -> None:
        """Move on to the next free sequence, if this run still leads the history.

        A checkpoint made by hand may have the one that was taken, or one of this run whose saving was cancelled.

        :raises CheckpointConflictError: it is an automatic checkpoint of another run, so the history is theirs now.
        :raises CheckpointDamagedError: whose it is can't be read, so whether this run still leads is not known.
        """
        with wrapped(self.backend, "reading the history of graph ", self.graph_id):
            # Asked before looking: whatever is written after this will be in the way once more, and be looked at then.
            free = await self.backend.next_sequence(self.graph_id)
            listing = await self._list()
            for damaged in listing.damaged:
                if damaged.sequence is None or damaged.sequence >= self.next_sequence:
                    raise CheckpointDamagedError(damaged.reason)
            self._check_anchor(listing, free, taken)
            for info in [info for info in listing.infos if info.sequence > self._known_to and not info.manual]:
                await self._check_own(info, taken)
                self._add(info)
        self.next_sequence = free

    async def _list(self) -> Listing:
        if not self._with_metadata:
            return await self.backend.list(self.graph_id)
        return await self.backend.query(CheckpointQuery(graph_id=self.graph_id, with_metadata=True))

    def _add(self, info: CheckpointInfo) -> None:
        self._known_to = self.latest_sequence = self._anchor = self.parent = info.sequence
        if self.remembers:
            known = self.checkpoints
            self.is_rising = self.is_rising and (not known or known[-1].timestamp <= info.timestamp)
            known.append(info)

    def _check_anchor(self, listing: Listing, free: int, taken: SequenceTakenError) -> None:
        """See that the record that this run continues is still there, unless no other run can have written since.

        Deleting everything by hand beside a run takes nothing from it: its next sequence is still free.
        """
        there = [info.sequence for info in listing.infos if not info.manual]
        there += [damaged.sequence or 0 for damaged in listing.damaged]
        ahead = sum(info.sequence > self._known_to for info in listing.infos)
        if self._anchor is not None and max(there, default=0) < self._anchor and ahead < free - 1 - self._known_to:
            raise self._overtaken(f"wrote up to sequence {free - 1}, but all of it has been deleted since") from taken

    async def _check_own(self, info: CheckpointInfo, taken: SequenceTakenError) -> None:
        record = await self.backend.get(info.graph_id, info.sequence)
        # One that has vanished was deleted by the retention of a run that is further ahead: ours has not seen it yet.
        if record is None or not record.header.nonce.startswith(self._writer):
            raise self._overtaken(
                f"wrote checkpoint {info.checkpoint_id!r} at {info.timestamp:%Y-%m-%d %H:%M:%S} UTC"
            ) from taken

    def _overtaken(self, how: str) -> CheckpointConflictError:
        return CheckpointConflictError(
            f"This run stopped before checkpoint {self.next_sequence} of graph {self.graph_id!r}: another process continued the "
            f"same graph id in the same store, and {how}. Nothing of theirs was overwritten. Run one process per graph id, or "
            "give this run an id of its own."
        )
