"""Does a new checkpoint stand where an earlier one does? A run that fails at one place again and again keeps one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spark.graphs.checkpoint.backend import CheckpointBackend
    from spark.graphs.checkpoint.model import CheckpointInfo, GraphCheckpoint

_ENDS: Final = frozenset({"failed", "cancelled", "budget"})
"""Why a checkpoint is made where a run ends before its time."""


async def is_superseded_by(latest: CheckpointInfo, checkpoint: GraphCheckpoint, backend: CheckpointBackend) -> bool:
    """Whether the latest checkpoint was left where this one is, by the same run, when that ended there before its time.

    :param checkpoint: of a run that has not committed anything since it was continued from ``checkpoint.parent``.
    """
    try:
        record = await backend.get(latest.graph_id, latest.sequence)
    except Exception:
        return False  # one that can't be read stays where it is
    if record is None or checkpoint.parent not in (latest.sequence, record.header.parent):
        return False
    facts, present = record.header.metadata, checkpoint.execution_metadata
    return facts.get("reason") in _ENDS and all(facts.get(name) == present[name] for name in ("run_id", "iteration"))
