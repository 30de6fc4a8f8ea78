"""Loads every checkpoint of the store beside the pages, and keeps what it found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from spark.errors import SparkError
from spark.graphs.checkpoint import CheckpointManager, RunInfo, Verification
from spark_ui.access.weighing import LargeValue, largest_values


@dataclass(frozen=True, slots=True)
class Result:
    """What a checkup came to."""

    ended: datetime
    seconds: float
    found: Verification | None
    """What it found; None if it did not finish."""
    leftovers: int = 0
    """How many files or the like crashed writers have left behind."""
    values: Sequence[LargeValue] = ()
    """The largest values of the largest graphs."""
    error: str = ""
    """Why it did not finish."""


class Checkup:
    """One checkup at a time; it is under way, or its last result is there, or there was none yet.

    :param largest: the runs of the largest graphs, whose values are weighed.
    """

    def __init__(
        self,
        manager: CheckpointManager,
        largest: Callable[[], Awaitable[Sequence[RunInfo]]],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._manager = manager
        self._largest = largest
        self._now = clock
        self._task: asyncio.Task[None] | None = None
        self._begun: datetime | None = None
        self.result: Result | None = None
        """Of the last one that came to an end."""
        self.done = 0
        """How many checkpoints the one that is under way has loaded."""
        self.total = 0

    @property
    def begun(self) -> datetime | None:
        """When the one that is under way was begun; None when none is."""
        return self._begun if self._task is not None and not self._task.done() else None

    def start(self) -> None:
        """Begin one, unless one is under way."""
        if self.begun is None:
            self._begun = self._now()
            self.done = self.total = 0
            self._task = asyncio.create_task(self._verify(self._begun), name="spark ui: verifying")

    def cancel(self) -> None:
        """Stop the one that is under way; the result before it stays."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Stop, and wait until it has."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _verify(self, begun: datetime) -> None:
        found, leftovers, values, error = None, 0, list[LargeValue](), ""
        try:
            found = await self._manager.verify(raw=True, report=self._note)
            leftovers = len(await self._manager.backend.leftovers())
            values = await largest_values(self._manager, await self._largest())
        except SparkError as failure:
            error = str(failure)
        ended = self._now()
        self.result = Result(ended, (ended - begun).total_seconds(), found, leftovers, values, error)

    def _note(self, done: int, total: int) -> None:
        self.done, self.total = done, total
