"""Does a new checkpoint stand where an earlier one does? A run that fails at one place again and again keeps one of them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from spark.graphs.checkpoint.sameness import is_same
from spark.graphs.checkpoint.store import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark.graphs.checkpoint.backend import CheckpointBackend
    from spark.graphs.checkpoint.model import CheckpointInfo, GraphCheckpoint

_ENDS: Final = frozenset({"failed", "cancelled", "budget"})
"""Why a checkpoint is made where a run ends before its time."""


async def superseded_by(
    checkpoint: GraphCheckpoint, latest: CheckpointInfo, backend: CheckpointBackend
) -> CheckpointInfo | None:
    """The latest checkpoint, if the same run left it where this one is, when it ended there before its time.

    :param checkpoint: of a run that has not committed anything since it was continued from ``checkpoint.parent``.
    """
    with suppress(Exception):  # one that can't be read stays where it is
        record = await backend.get(latest.graph_id, latest.sequence)
        if record is not None and _left(record.header.metadata, checkpoint.execution_metadata):
            if checkpoint.parent == latest.sequence:
                return latest
            # Where both continue the same one, somebody may have edited the state of one of them before it ran.
            if checkpoint.parent == record.header.parent and await _has_same_state(checkpoint, latest, backend):
                return latest
    return None


async def _has_same_state(checkpoint: GraphCheckpoint, latest: CheckpointInfo, backend: CheckpointBackend) -> bool:
    earlier = await load(backend, latest)
    return is_same(earlier.graph_state, dict(checkpoint.graph_state))


def _left(earlier: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    return earlier.get("reason") in _ENDS and all(
        earlier.get(name) == present[name] for name in ("run_id", "iteration")
    )
