"""Which unfinished runs can continue now? Decided from headers: of their latest checkpoints, of claims, and of messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.derived.claims import Held
from spark.graphs.checkpoint.ids import CLAIM, derived_id
from spark.graphs.checkpoint.maintenance.runs import RunInfo, with_news
from spark.graphs.checkpoint.storage.backend import CheckpointBackend

RECOVERED: Final = ("queued", "running", "drained", "waiting", "interrupted", "edited", "forked")
"""The statuses of runs that are resumed unless somebody asks for others."""


async def due_runs(
    runs: Sequence[RunInfo], backend: CheckpointBackend, *, now: datetime, stale_after: timedelta | None
) -> tuple[list[RunInfo], dict[str, str]]:
    """Those of these runs that are to be resumed now, and why others, which would be due, are left alone.

    :param stale_after: how old the latest checkpoint has to be of a run that nobody claims and that may be under way.
    """
    news = await with_news(backend, runs)
    due, skipped = list[RunInfo](), dict[str, str]()
    for run in runs:
        if run.status in ("waiting", "interrupted") and not (_has_come(run.due, now) or run.graph_id in news):
            continue
        if run.owner is not None:
            skipped[run.graph_id] = f"it is being run by {run.owner!r}"
        elif run.status == "running" and stale_after and run.since and now - run.since < stale_after:
            skipped[run.graph_id] = (
                f"its latest checkpoint is younger than {stale_after}, so somebody may be running it"
            )
        else:
            due.append(run)
    return due, skipped


async def is_as_it_was(backend: CheckpointBackend, run: RunInfo, *, now: datetime) -> bool:
    """Whether nobody has claimed a run, or added a checkpoint to it, since this was read of it."""
    claim = derived_id(CLAIM, run.graph_id)
    with wrapped(backend, "looking at the run of graph ", run.graph_id):
        latest = (await backend.latest_headers([run.graph_id, claim])).headers
    held = Held.of(latest[claim].metadata, latest[claim].timestamp) if claim in latest else None
    if held is not None and held.is_held(now):
        return False
    header = latest.get(run.graph_id)
    return header is None or header.manual or header.sequence == run.sequence  # what is damaged, its resumption tells


def _has_come(due: datetime | None, now: datetime) -> bool:
    return due is not None and due <= now
