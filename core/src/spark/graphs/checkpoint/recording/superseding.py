"""Does a new checkpoint take the place of the one before? A run that fails at one place again and again keeps one of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from spark.graphs.checkpoint.maintenance.loading import load
from spark.graphs.checkpoint.recording.capture import Capture
from spark.graphs.checkpoint.recording.history import SEQUENCE, History
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.serialization.classes.sameness import is_same
from spark.graphs.checkpoint.storage.backend import CheckpointBackend

_ENDS: Final = frozenset({"failed", "cancelled", "budget"})
"""Why a checkpoint is made where a run ends before its time."""


async def superseded_by(capture: Capture, history: History, backend: CheckpointBackend) -> CheckpointInfo | None:
    """The latest checkpoint, if the same run left it at the same place, where it ended before its time.

    :param capture: of a run that has not committed anything since it began at ``history.parent``.
    """
    latest = max([*history.checkpoints[-1:], *history.others[-1:]], key=SEQUENCE, default=None)
    if latest is None:
        return None
    with suppress(Exception):  # one that can't be read stays where it is
        record = await backend.get(latest.graph_id, latest.sequence)
        if record is not None and _left_by_same_run(record.header.metadata, capture.sections["execution_metadata"]):
            if history.parent == latest.sequence:
                return latest
            # Where both continue the same one, somebody may have edited the state of one of them before it ran.
            if history.parent == record.header.parent:
                earlier = await load(backend, latest)
                return latest if is_same(earlier.graph_state, dict(capture.sections["graph_state"])) else None
    return None


def _left_by_same_run(earlier: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    return earlier.get("reason") in _ENDS and all(
        earlier.get(name) == present[name] for name in ("run_id", "iteration")
    )
