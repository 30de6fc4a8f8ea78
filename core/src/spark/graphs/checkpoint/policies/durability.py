"""When does the run wait until a checkpoint is durable? At each one, behind a bounded queue, or only at the end."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from spark.errors import GraphDefinitionError

Durability: TypeAlias = Literal["sync", "async", "exit"]


def check_durability(durability: object) -> None:
    """Whether this is a durability at all.

    :raises GraphDefinitionError: it is not.
    """
    if durability not in get_args(Durability):
        raise GraphDefinitionError(f"CheckpointConfig(durability={durability!r}): give 'sync', 'async' or 'exit'.")
