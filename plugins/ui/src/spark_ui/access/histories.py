"""The histories and checkpoints that pages show, read raw. The latest are kept: a slider asks for many, one after another."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from operator import itemgetter
from typing import Final

from spark.errors import CheckpointDamagedError, SparkError
from spark.graphs.checkpoint import CheckpointManager, GraphCheckpoint, HistoryEntry
from spark.graphs.checkpoint.storage import run_blocking
from spark_ui.access.kept import Kept
from spark_ui.access.weighing import weigh
from spark_ui.views.changed import Part, parts_of
from spark_ui.views.past import Past

_FRESH: Final = 0.5
"""Seconds for which a history is shown as it is."""
_CHECKED: Final = 60.0
"""Seconds for which only what is new is read; then all of it, because checkpoints may have been deleted."""
_SKEW: Final = timedelta(minutes=1)
"""By so much the clocks of writers may differ; what is later by more is found with the next full reading."""
_HISTORIES: Final = 8
_OUTLINE: Final = ("frontier", "execution_metadata", "topology", "config")
_OUTLINES: Final = 64_000_000
"""Bytes in memory of all outlines that are kept together, roughly; the latest one is, whatever its size."""
_VALUE: Final = 64
"""Bytes in memory that each value in an outline takes up besides its text, roughly."""
_CHANGES: Final = 16_000_000
"""Characters of all changes that are kept together."""


class Histories:
    """What is stored of graphs, one history at a time."""

    def __init__(self, manager: CheckpointManager) -> None:
        self._manager = manager
        self._pasts: OrderedDict[str, tuple[Past, float, float]] = OrderedDict()
        self.outlines: Kept[tuple[GraphCheckpoint, int]] = Kept(_OUTLINES, weigh=itemgetter(1))
        """What is kept of checkpoints without their state, by memory."""
        self._checkpoints: Kept[GraphCheckpoint] = Kept(1)  # which may be hundreds of megabytes
        self._changes: Kept[Sequence[Part]] = Kept(_CHANGES, weigh=_length)
        self._one_at_a_time = asyncio.Lock()
        """For what may need much memory."""

    async def past(self, graph_id: str, *, anew: bool = False) -> Past:
        """The history of a graph; an empty one where it has no checkpoints.

        :param anew: read all of it, whatever is known.
        """
        now = time.monotonic()
        known, read, checked = self._pasts.get(graph_id, (Past(()), 0.0, 0.0))
        if known.entries and not anew and now - read < _FRESH:
            return known
        is_checked = known.entries and not anew and now - checked < _CHECKED
        past = await self._with_news(graph_id, known) if is_checked else None
        if past is None:
            past, checked = Past(await self._manager.history(graph_id)), now
        self._pasts[graph_id] = (past, now, checked)
        self._pasts.move_to_end(graph_id)
        while len(self._pasts) > _HISTORIES:
            self._pasts.popitem(last=False)
        return past

    async def _with_news(self, graph_id: str, known: Past) -> Past | None:
        """The same history with what is new; None where its end is gone."""
        if await self._ends_as_known(graph_id, known):
            return known
        last = next((entry for entry in reversed(known.entries) if entry.timestamp is not None), None)
        if last is None or last.timestamp is None:
            return None
        found = await self._manager.history(graph_id, after=last.timestamp - _SKEW)
        if all(entry.sequence != last.sequence for entry in found):
            return None
        news = [entry for entry in found if entry.sequence > known.sequences[-1]]
        return Past([*known.entries, *news]) if news else known

    async def _ends_as_known(self, graph_id: str, known: Past) -> bool:
        """Whether nothing is new: one short read, however many checkpoints were made in the last minute of the history."""
        try:
            latest = await self._manager.backend.latest(graph_id)
        except SparkError:  # who reads the history sees what is damaged
            return False
        return latest is not None and latest.sequence == known.sequences[-1]

    async def outline(self, entry: HistoryEntry) -> GraphCheckpoint:
        """A checkpoint of a history without its state, read raw: quick, however large the state. Never change it.

        :raises CheckpointNotFoundError: it was deleted meanwhile.
        :raises CheckpointDamagedError: what is stored is not what was written.
        """
        id = _id_of(entry)

        async def load() -> tuple[GraphCheckpoint, int]:
            outline = await self._manager.load_checkpoint_at(entry.graph_id, entry.sequence, sections=_OUTLINE)
            parts = [getattr(outline, name) for name in _OUTLINE]
            return outline, await run_blocking(weigh, parts, _VALUE)  # pending work may hold large values

        # By its place as well: what was saved by hand may be saved again under the same id.
        return (await self.outlines.get((id, entry.sequence), load))[0]

    async def checkpoint(self, entry: HistoryEntry) -> GraphCheckpoint:
        """The same, whole."""
        id = _id_of(entry)

        async def load() -> GraphCheckpoint:
            async with self._one_at_a_time:
                return await self._manager.load_checkpoint_at(entry.graph_id, entry.sequence, raw=True)

        return await self._checkpoints.get((id, entry.sequence), load)

    async def changes(self, before: HistoryEntry, after: HistoryEntry) -> Sequence[Part]:
        """What differs from one checkpoint of a history to another, as a page shows it."""
        if before.info is None or after.info is None:
            return []
        # By what the history says of them: then what both refer to is not even read, and nothing is looked for.
        compared = partial(self._manager.diff, before.info, after.info)

        async def compare() -> Sequence[Part]:
            async with self._one_at_a_time:
                return await asyncio.to_thread(parts_of, await compared())

        key = before.checkpoint_id, after.checkpoint_id, before.sequence, after.sequence
        return await self._changes.get(key, compare)

    def forget(self, graph_id: str) -> None:
        """Something was changed: read the history again."""
        self._pasts.pop(graph_id, None)


def _id_of(entry: HistoryEntry) -> str:
    if entry.checkpoint_id is None:
        raise CheckpointDamagedError(
            entry.damage or f"Checkpoint #{entry.sequence} of graph {entry.graph_id!r} is damaged."
        )
    return entry.checkpoint_id


def _length(parts: Sequence[Part]) -> int:
    return 1_000 + sum(len(line.text) for part in parts for row in part.rows for line in row.lines)
