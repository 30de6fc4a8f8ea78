"""The sql backend keeps the promise of backends, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing import CheckpointBackendConformance, OpenAnother, ReadRaw, Spoil
from tests.plugins.support.sql_conformance import CAPABILITIES, ServerConformance, SqlServer
from tests.plugins.support.sql_servers import PostgresServer, another_program


class TestSqlite(CheckpointBackendConformance):
    capabilities = CAPABILITIES

    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[DatabaseCheckpointBackend]:
        async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/checkpoints.db") as backend:
            yield backend

    @pytest.fixture
    def open_another(self, backend: DatabaseCheckpointBackend, tmp_path: Path) -> OpenAnother:
        return lambda: another_program(f"sqlite:///{tmp_path}/checkpoints.db")

    @pytest.fixture
    def open_absent(self, tmp_path: Path) -> OpenAnother:
        return lambda: DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/nowhere.db", create=False)

    @pytest.fixture
    def read_raw(self, tmp_path: Path) -> ReadRaw:
        def read(graph_id: str, sequence: int) -> bytes | None:
            connection = sqlite3.connect(tmp_path / "checkpoints.db")
            try:
                rows = connection.execute(
                    "SELECT payload FROM checkpoints WHERE graph_id = ? AND sequence = ?", (graph_id, sequence)
                )
                return next((payload for (payload,) in rows), None)
            finally:
                connection.close()

        return read

    @pytest.fixture
    def spoil(self, tmp_path: Path) -> Spoil:
        def spoil(graph_id: str, sequence: int) -> None:
            with closing(sqlite3.connect(tmp_path / "checkpoints.db")) as connection, connection:
                connection.execute(
                    "UPDATE checkpoints SET payload = x'00' WHERE graph_id = ? AND sequence = ?", (graph_id, sequence)
                )

        return spoil


class TestPostgresql(ServerConformance):
    # Each test makes a table.
    hostile_ids = ("x'; DROP TABLE checkpoints; --", "A", "a", "é" * 200)

    @pytest.fixture
    def server(self, postgres: PostgresServer) -> SqlServer:
        return postgres
