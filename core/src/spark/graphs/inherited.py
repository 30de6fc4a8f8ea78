"""How a restored graph is checkpointed: as the graph in this process is, or as the checkpoint records."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from spark.errors import GraphRestoreError, SparkWarning
from spark.graphs.checkpoint.config import CheckpointConfig
from spark.graphs.recorded import named

if TYPE_CHECKING:
    from spark.graphs.checkpoint.backend import CheckpointBackend
    from spark.graphs.checkpoint.model import GraphCheckpoint


def inherited_config(
    checkpoint: GraphCheckpoint, alive: CheckpointConfig | None, alive_backend: CheckpointBackend | None
) -> CheckpointConfig | None:
    """The configuration that goes on, and a warning of what of it does not.

    :param alive: that of the graph with the same id in this process, if there is one.
    :param alive_backend: its store, which is not opened twice, and in memory is not left behind.
    :raises GraphRestoreError: what is recorded is none that anybody had.
    """
    if alive is not None:
        return replace(alive, backend=alive_backend)
    try:
        config, lost = CheckpointConfig.from_data(checkpoint.config.get("checkpoint"), backend=checkpoint.source)
    except Exception as error:  # whatever may be written there
        raise GraphRestoreError(
            f"{named(checkpoint)} records a checkpoint configuration that can't be used ({error}). Pass checkpoint_config= to "
            "Graph.from_checkpoint()."
        ) from error
    if lost:
        warnings.warn(
            f"{named(checkpoint)} does not record all of how its graph was checkpointed: {'; '.join(lost)}. To say it anew, pass "
            "checkpoint_config= to Graph.from_checkpoint().",
            SparkWarning,
            stacklevel=4,
        )
    return config
