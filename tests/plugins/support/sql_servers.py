"""A real PostgreSQL server for each test process, reached through a socket that only we know."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from spark_backend_sql import DatabaseCheckpointBackend
from tests.support.servers import PATIENCE, postgres_library, short_folder

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class PostgresServer:
    """A server of our own."""

    folder: Path
    """Of its data and of its socket."""

    @property
    def url(self) -> str:
        """Of its first database, as SQLAlchemy and libpq write it."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The URL of another database."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"spark_{next(_NUMBERS)}"
        self.run(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def run(self, sql: str, parameters: tuple[Any, ...] = (), *, url: str = "") -> list[tuple[Any, ...]]:
        """The rows of a statement, run on a connection of its own."""
        with psycopg.connect(url or self.url, autocommit=True) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []


def new_table(url: str = "") -> str:
    """A table name that no other test of this process uses in this database.

    :param url: of SQLite, where a test has a file of its own: the usual name will do, for which statements are compiled already.
    """
    return "checkpoints" if url.startswith("sqlite:") else f"checkpoints_{next(_NUMBERS)}"


def another_program(url: str, table_name: str = "checkpoints", *, wait: float = 29) -> DatabaseCheckpointBackend:
    """A backend that shares nothing with others of the same URL, which wait longer."""
    return DatabaseCheckpointBackend(url, table_name, wait=wait)


def wait_for_a_lock(server: PostgresServer) -> None:
    """Return when some connection waits for another one's lock."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if server.run("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            return
    raise AssertionError("no connection waited for a lock")


def running_server() -> Iterator[PostgresServer]:
    """Start a server; stop it afterwards, and remove its files."""
    folder = short_folder()
    server = postgres_library().get_server(folder / "data", cleanup_mode="delete")
    try:
        made = PostgresServer(folder / "data")
        # Nobody pulls the plug on it; tests/crash kills a server of its own, which waits for the disk.
        made.run("ALTER SYSTEM SET fsync = off")
        made.run("SELECT pg_reload_conf()")
        yield made
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
