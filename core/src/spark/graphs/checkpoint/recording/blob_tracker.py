"""Which large values of this run become unreferenced when checkpoints are deleted, and when to look for those of earlier runs.

Those of earlier runs to which this one keeps referring are its own from then on.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from spark.graphs.checkpoint.maintenance.garbage import collect_garbage
from spark.graphs.checkpoint.records.blobs import birth
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.storage.backend import CheckpointBackend


class BlobTracker:
    """Knows which records refer to each large value of this run; of earlier runs', only that there may be some.

    :param writer: what the names of this run's large values have in common.
    """

    def __init__(self, writer: str) -> None:
        self._writer = writer
        self.spans: dict[str, tuple[int, int]] = {}
        """Name to the sequences of the records that may refer to it: from the first to before the second."""
        self._began_after = 0
        """The sequence of the last record of earlier runs."""
        self._pruned = 0
        """How many of those were deleted since garbage was last collected."""
        self._has_collected = False
        self._taken_over: frozenset[str] = frozenset()

    def begin(self, *, after: int) -> None:
        """The run adds to a history whose last record has this sequence; 0 for none."""
        self._began_after = after

    def take_over(self, names: Iterable[str]) -> None:
        """This run keeps track of these large values of earlier runs: its first record refers to them."""
        self._taken_over = frozenset(names)

    def unreferenced(self, kept: Sequence[int], *, retired: Iterable[str], until: int) -> list[str]:
        """The large values that nothing refers to once a record is stored and only the kept ones remain beside it.

        :param kept: sequences, rising.
        :param retired: what that record no longer refers to.
        :param until: its sequence.
        """
        spans = self.spans | _spans(retired, until)
        return [name for name, (first, last) in spans.items() if not _has_one_in(kept, first, last)]

    def stored(self, retired: Iterable[str], *, until: int) -> None:
        """The record with sequence ``until`` is the first that does not refer to these."""
        self.spans |= _spans(retired, until)

    def deleted(self, names: Iterable[str]) -> None:
        """These were deleted."""
        for name in names:
            self.spans.pop(name, None)

    def pruned(self, infos: Iterable[CheckpointInfo]) -> None:
        """These records are being deleted."""
        if self._began_after:
            self._pruned += sum(info.sequence <= self._began_after for info in infos)

    def is_collection_due(self, kept: Sequence[CheckpointInfo]) -> bool:
        """Whether to look for what earlier runs have left behind.

        That reads every record that remains. So it is done at first, because runs that are killed over and over prune little
        each; then once for as many records as were deleted; and after the last record of earlier runs.
        """
        if not self._has_collected or self._pruned >= len(kept):
            return True
        return self._pruned > 0 and kept[0].sequence > self._began_after

    async def collect_garbage(self, backend: CheckpointBackend, graph_id: str) -> None:
        """Delete what other runs have left behind and no record refers to."""
        self._pruned, self._has_collected = 0, True
        await collect_garbage(backend, graph_id, except_writer=self._writer, except_names=self._taken_over)


def _spans(retired: Iterable[str], until: int) -> dict[str, tuple[int, int]]:
    return {name: (birth(name) or 0, until) for name in retired}


def _has_one_in(rising: Sequence[int], first: int, until: int) -> bool:
    place = bisect_left(rising, first)
    return place < len(rising) and rising[place] < until
