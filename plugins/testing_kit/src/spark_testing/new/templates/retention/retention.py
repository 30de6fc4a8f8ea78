"""A retention rule that thins out a history as it ages, as backups are kept."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta

from spark.graphs.checkpoint import CheckpointInfo, Retention

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


class Example(Retention):
    """Keeps every checkpoint for a while, then the last of each hour, and after a day the last of each day.

    :param recent: for how many minutes every checkpoint is kept.
    """

    # Checkpoints record the options, so that a restored graph has the same rule. They are read from the attributes that are
    # called as the parameters.

    def __init__(self, recent: float = 60) -> None:
        if not 0 <= recent < math.inf:
            raise ValueError("recent must be a number of minutes.")
        self.recent = recent

    def select(self, checkpoints: Sequence[CheckpointInfo], *, now: datetime) -> list[CheckpointInfo]:
        """Called with a whole history, oldest first, each time that a checkpoint was made. The latest is kept in any case."""
        last = {self._slot(checkpoint, now=now): checkpoint for checkpoint in checkpoints}
        return sorted(last.values(), key=lambda checkpoint: checkpoint.sequence)

    def _slot(self, checkpoint: CheckpointInfo, *, now: datetime) -> Hashable:
        """What it shares with those of which only the last is kept."""
        age = now - checkpoint.timestamp
        if age < timedelta(minutes=self.recent):
            return checkpoint.sequence
        span = _HOUR if age < _DAY else _DAY
        return span, checkpoint.timestamp.timestamp() // span.total_seconds()

    def __repr__(self) -> str:
        return f"Example({self.recent})"
