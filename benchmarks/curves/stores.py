"""Empty stores of every kind, and the servers that some of them need, which begin when they are first asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks.servers import has_postgresql, has_s3, postgresql_databases, s3_server
from spark.graphs.checkpoint import (
    CheckpointBackend,
    DatabaseCheckpointBackend,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)

if TYPE_CHECKING:
    from tests.plugins.support.s3.servers import S3Server

LOCAL: dict[str, Callable[[Path], CheckpointBackend]] = {
    "memory": lambda folder: InMemoryCheckpointBackend(),
    "SQLite": lambda folder: DatabaseCheckpointBackend(f"sqlite:///{folder / 'checkpoints.db'}"),
    "files": lambda folder: FileCheckpointBackend(folder / "checkpoints"),
}
"""Those that need no server, each in a folder of its own."""
EVERY = (*LOCAL, "PostgreSQL", "S3")

_NUMBERS = itertools.count(1)


class Servers:
    """A PostgreSQL and an S3 server, until they are left."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    @cached_property
    def postgresql(self) -> str:
        """The URL of a database."""
        new_database = self._stack.enter_context(postgresql_databases())
        assert new_database is not None
        return new_database()

    @cached_property
    def s3(self) -> S3Server:
        return self._stack.enter_context(s3_server())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()


@dataclass(frozen=True, slots=True)
class Place:
    """Where one figure is measured."""

    folder: Path
    """Empty, on a real disk where one is named."""
    servers: Servers

    def has(self, store: str) -> bool:
        """Whether what the store needs is installed."""
        return {"PostgreSQL": has_postgresql, "S3": has_s3}.get(store, lambda: True)()

    def store(self, name: str) -> CheckpointBackend:
        """An empty one; of those in the folder, only one of each kind."""
        if name in LOCAL:
            return LOCAL[name](self.folder)
        if name == "PostgreSQL":
            return DatabaseCheckpointBackend(self.servers.postgresql, f"bench_{next(_NUMBERS)}")
        from tests.plugins.support.s3.stores import open_store

        return open_store(self.servers.s3, self.servers.s3.new_bucket())
