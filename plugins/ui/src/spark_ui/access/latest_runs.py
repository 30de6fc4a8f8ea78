"""The latest run of every graph, read a part at a time: between two parts, others are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spark.graphs.checkpoint import CheckpointManager, RunInfo

_PART: Final = 1000


async def latest_runs(manager: CheckpointManager) -> Sequence[RunInfo]:
    """All of them, in the order of their graph ids.

    :raises SparkError: the store can't be read.
    """
    found: list[RunInfo] = []
    while True:
        part = await manager.runs(after=found[-1].graph_id if found else None, limit=_PART)
        found += part
        if len(part) < _PART:
            return found
