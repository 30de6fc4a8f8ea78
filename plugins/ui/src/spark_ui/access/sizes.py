"""What graphs take up in the store: measured beside the pages, which wait for it a moment, and show what is known."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from spark.errors import SparkError
from spark.graphs.checkpoint import CheckpointManager, RunInfo, Usage

_LOG: Final = logging.getLogger(__name__)
_PATIENCE: Final = 0.15
"""Seconds that a page waits for sizes."""
_BATCH: Final = 100
"""Graphs that are measured together."""
_MOST: Final = 100_000
"""Graphs whose sizes are kept."""


class Sizes:
    """The sizes of graphs. One is measured again when its graph has a newer checkpoint."""

    def __init__(self, manager: CheckpointManager) -> None:
        self._manager = manager
        self._known: dict[str, tuple[int | None, Usage]] = {}
        """Of a graph id: the latest sequence when it was measured, and what was found."""
        self._wanted: dict[str, int | None] = {}
        self._measuring: asyncio.Task[None] | None = None

    async def of(self, runs: Sequence[RunInfo]) -> Mapping[str, Usage]:
        """The sizes of the graphs of these runs, as far as they are known soon; until then, perhaps the last ones."""
        missing = {run.graph_id: run.sequence for run in runs if not self._is_known(run)}
        if missing:
            self._wanted = missing | {id: at for id, at in self._wanted.items() if id not in missing}
            await asyncio.wait([self._begin()], timeout=_PATIENCE)
        return {run.graph_id: self._known[run.graph_id][1] for run in runs if run.graph_id in self._known}

    @property
    def left(self) -> int:
        """How many graphs are still to be measured."""
        return len(self._wanted)

    async def close(self) -> None:
        """Stop measuring."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.wait([self._measuring])

    def _is_known(self, run: RunInfo) -> bool:
        known = self._known.get(run.graph_id)
        return known is not None and known[0] == run.sequence

    def _begin(self) -> asyncio.Task[None]:
        if self._measuring is None or self._measuring.done():
            self._measuring = asyncio.create_task(self._measure(), name="spark ui: measuring graphs")
        return self._measuring

    async def _measure(self) -> None:
        while batch := dict(islice(self._wanted.items(), _BATCH)):
            try:
                self._note(batch, await self._manager.usage([*batch]))
            except SparkError as error:  # whoever looks again has them measured again
                _LOG.warning("The sizes of some graphs are not known: %s", error)
            for id, sequence in batch.items():
                if self._wanted.get(id, sequence) == sequence:
                    self._wanted.pop(id, None)

    def _note(self, batch: Mapping[str, int | None], found: Mapping[str, Usage]) -> None:
        if len(self._known) + len(batch) > _MOST:
            self._known.clear()
        for id, sequence in batch.items():
            self._known[id] = sequence, found.get(id, Usage())
