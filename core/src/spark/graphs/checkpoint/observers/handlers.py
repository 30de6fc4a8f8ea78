"""What users write to be notified of checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from spark.graphs.checkpoint.model import GraphCheckpoint

HandlerErrors = Literal["log", "raise"]


class CheckpointHandler:
    """Subclass it and write the methods you need. They run one after the other, and the run waits for them.

    What one raises, ``SystemExit`` included, is logged, or ends the run with ``handler_errors="raise"``.
    """

    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        """Called when a checkpoint is durable. The checkpoint is the handler's own copy."""

    async def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
        """Called once, when the first run that continues from a checkpoint starts."""

    async def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
        """Called when a checkpoint was deleted, by hand or by retention."""
