"""The suite of backends over a table of a database server, whichever it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing import CheckpointBackendConformance, OpenAnother, ReadRaw, Spoil
from tests.plugins.support.sql_servers import another_program, new_table

CAPABILITIES = ("persistent", "processes", "concurrent_processes", "keeps_blobs", "deletes_along")


class SqlServer(Protocol):
    """A server of the tests."""

    @property
    def url(self) -> str:
        """Of its database."""

    def run(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement in that database."""


class ServerConformance(CheckpointBackendConformance):
    """Subclass it with a fixture ``server``."""

    capabilities = CAPABILITIES

    @pytest.fixture
    def url(self, server: SqlServer) -> str:
        """By which the backend gets there."""
        return server.url

    @pytest.fixture
    async def backend(self, url: str) -> AsyncIterator[DatabaseCheckpointBackend]:
        async with DatabaseCheckpointBackend(url, new_table(url)) as backend:
            yield backend

    @pytest.fixture
    def open_another(self, backend: DatabaseCheckpointBackend, url: str) -> OpenAnother:
        return lambda: another_program(url, backend.table_name)

    @pytest.fixture
    def open_absent(self, url: str) -> OpenAnother:
        return lambda: DatabaseCheckpointBackend(url, "nowhere", create=False)

    @pytest.fixture
    def read_raw(self, backend: DatabaseCheckpointBackend, server: SqlServer) -> ReadRaw:
        def read(graph_id: str, sequence: int) -> bytes | None:
            rows = server.run(
                f"SELECT payload FROM {backend.table_name} WHERE graph_id = %s AND sequence = %s", (graph_id, sequence)
            )
            return rows[0][0] if rows else None

        return read

    @pytest.fixture
    def spoil(self, backend: DatabaseCheckpointBackend, server: SqlServer) -> Spoil:
        def spoil(graph_id: str, sequence: int) -> None:
            server.run(
                f"UPDATE {backend.table_name} SET payload = %s WHERE graph_id = %s AND sequence = %s",
                (b"\0", graph_id, sequence),
            )

        return spoil
