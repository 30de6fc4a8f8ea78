"""From one checkpoint format version to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from spark.errors import CheckpointVersionError
from spark.graphs.checkpoint.links import linked_as
from spark.graphs.checkpoint.model import CURRENT_VERSION

if TYPE_CHECKING:
    from spark.graphs.checkpoint.model import GraphCheckpoint

Migration = Callable[["GraphCheckpoint"], "GraphCheckpoint"]

_MIGRATIONS: Final[dict[str, Migration]] = {}


def register_migration(from_major: str | int) -> Callable[[Migration], Migration]:
    """Decorate a function that takes a checkpoint of this major version and returns it in a newer one.

    It is tried when a checkpoint of that version is restored. Loading a checkpoint never migrates it.
    """

    def register(function: Migration) -> Migration:
        _MIGRATIONS[str(from_major)] = function
        return function

    return register


def migrated(checkpoint: GraphCheckpoint) -> GraphCheckpoint:
    """The checkpoint in a version that this release understands.

    :raises CheckpointVersionError: its major version is unknown, and no registered migration leads here.
    """
    current, seen = _major(CURRENT_VERSION), set[str]()
    while (major := _major(checkpoint.version)) != current:
        migration = _MIGRATIONS.get(major)
        if migration is None or major in seen:
            raise CheckpointVersionError(
                f"Checkpoint {checkpoint.checkpoint_id!r} of graph {checkpoint.graph_id!r} has format version "
                f"{checkpoint.version!r}; this release restores {current}.x. Restore it with the release that wrote it, or "
                f"register a migration: @register_migration({major!r})."
            )
        seen.add(major)
        checkpoint = linked_as(checkpoint, migration(checkpoint))
    return checkpoint


def _major(version: object) -> str:
    return str(version).partition(".")[0]
