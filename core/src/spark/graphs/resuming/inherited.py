"""What a new run has to know of the runs before it: which of the messages that were sent to the graph they have received."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from spark.errors import SparkError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.maintenance.loading import load
from spark.graphs.checkpoint.recording.history import History
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.state.received import is_received

_LOG = logging.getLogger("spark.checkpoint")
_TO_BE_RESUMED: Final = frozenset({"interrupted", "waiting", "drained", "queued"})
"""As what a run returns that is not over."""


async def received_before(history: History, *, known: CheckpointInfo | None) -> Mapping[str, Any]:
    """What the latest checkpoint of a graph says of that. One header is read where that is not known, and rarely more.

    :param known: the line of the last checkpoint that this process has made or loaded.
    :raises BackendError: the storage failed.
    """
    latest, backend = history.found, history.backend
    if latest is None:
        return {}
    is_known = known is not None and (known.sequence, known.timestamp) == (latest.sequence, latest.timestamp)
    metadata = (known.metadata if known is not None and is_known else latest.metadata) or await _metadata_of(
        backend, latest
    )
    if metadata.get("reason") in _TO_BE_RESUMED:
        _warn(latest.graph_id, metadata)
    return await _received(backend, latest) if metadata.get("received") else {}


def _warn(graph_id: str, metadata: Mapping[str, Any]) -> None:
    """Say that a new run gives up one that is to be resumed."""
    questions = metadata.get("questions")
    open = f" with {questions} open question{'s' if questions != 1 else ''}" if questions else ""
    _LOG.warning(
        "A new run of graph %r begins, and abandons the previous one, which is %s%s. To resume that one: run(resume=True).",
        graph_id,
        metadata["reason"],
        open,
    )


async def _metadata_of(backend: CheckpointBackend, info: CheckpointInfo) -> Mapping[str, Any]:
    with wrapped(backend, "reading the latest header of graph ", info.graph_id):
        header = (await backend.latest_headers([info.graph_id])).headers.get(info.graph_id)
        if header is None or header.sequence != info.sequence:  # the latest one was made by hand
            record = await backend.get(info.graph_id, info.sequence)
            header = record.header if record is not None else None
    return header.metadata if header is not None else {}


async def _received(backend: CheckpointBackend, info: CheckpointInfo) -> Mapping[str, Any]:
    try:
        inbox = ((await load(backend, info)).frontier or {}).get("inbox", {})
    except SparkError as error:
        _LOG.warning(
            "The signals that graph %r has received can't be read, so a new run may receive some of them again: %s",
            info.graph_id,
            error,
        )
        return {}
    return inbox if isinstance(inbox, Mapping) and is_received(inbox) else {}
