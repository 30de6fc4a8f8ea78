"""What a restored graph is made with: as the graph in this process is, or as its checkpoint records."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

from spark.errors import GraphRestoreError, SparkWarning
from spark.graphs.arguments import Arguments
from spark.graphs.checkpoint.configuration.config import CheckpointConfig
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import SYSTEM_CLOCK, SYSTEM_RANDOM
from spark.graphs.concurrency.blocking import NODE_THREADS
from spark.graphs.definition.policies import StepPolicy
from spark.graphs.engine.spec import FailureRule
from spark.graphs.resuming.validation import named


class GivenAnew(NamedTuple):
    """What the caller wants to have otherwise."""

    checkpoint_config: CheckpointConfig | None
    max_concurrency: int | None


def restored_arguments(
    checkpoint: GraphCheckpoint, given: GivenAnew, *, alive: Arguments | None, store: CheckpointBackend | None
) -> dict[str, Any]:
    """The arguments of ``Graph`` for one that continues from this checkpoint.

    :param alive: those of a graph with the same id in this process, if there is one.
    :param store: where the checkpoint comes from, if it was loaded.
    """
    config = given.checkpoint_config or (alive.config_in(store) if alive is not None else None)
    return {
        "id": checkpoint.graph_id,
        "checkpoint_config": config or _config(checkpoint, store),
        "max_concurrency": given.max_concurrency or checkpoint.config.get("max_concurrency"),
        "node_threads": checkpoint.config.get("node_threads", NODE_THREADS),
        **FailureRule.recorded_in(checkpoint.config),
        **(alive.policy.to_repeat() if alive is not None else _policy(checkpoint)),
        "clock": alive.clock if alive is not None else SYSTEM_CLOCK,
        "random": alive.random if alive is not None else SYSTEM_RANDOM,
    }


def _config(checkpoint: GraphCheckpoint, store: CheckpointBackend | None) -> CheckpointConfig | None:
    """How the graph was checkpointed that this checkpoint is from, in the store that it was loaded from, if it was.

    Warns of everything that can't be restored.
    """
    try:
        config, lost = CheckpointConfig.from_data(checkpoint.config.get("checkpoint"), backend=store)
    except Exception as error:  # whatever may be written there
        raise GraphRestoreError(
            f"{named(checkpoint)} records a checkpoint configuration that can't be used ({str(error).removesuffix('.')}). Pass "
            "checkpoint_config= to Graph.from_checkpoint()."
        ) from error
    wrote = checkpoint.config.get("serializer")
    reads = config.record_codec(store).serializer if config is not None and store is not None else ""
    if config is not None and wrote and wrote != reads:
        lost.append(
            f"its values passed the serializer {str(wrote)[:200]}, which the backend that it was loaded from does not have"
        )
    if lost:
        warnings.warn(
            f"{named(checkpoint)} does not record all of how its graph was checkpointed: {'; '.join(lost)}. To set it again, "
            "pass checkpoint_config= to Graph.from_checkpoint().",
            SparkWarning,
            stacklevel=4,
        )
    return config


def _policy(checkpoint: GraphCheckpoint) -> dict[str, Any]:
    """The arguments of ``Graph`` for steps that fail or take too long, as this checkpoint records them.

    Warns of what can't be restored.
    """
    lost: list[str] = []
    found = StepPolicy.recorded_in(checkpoint.config, lost=lost)
    if lost:
        warnings.warn(
            f"{named(checkpoint)} does not record all of what its graph did about steps that failed: {'; '.join(lost)}. To have "
            "it again, build the graph, and continue with run(resume=True).",
            SparkWarning,
            stacklevel=4,
        )
    return found
