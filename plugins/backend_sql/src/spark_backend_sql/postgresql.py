"""PostgreSQL: a server, where a round trip costs more than most statements; psycopg sends a whole transaction in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Table,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects import postgresql

from spark_backend_sql.dialect import LOCK_TIMEOUT, Dialect, RefusedError, connect_timeout, lock_number, set_up_sessions
from spark_backend_sql.operations import Delete, Operation, Outcomes, Put
from spark_backend_sql.schema import Tables

_SHORTEST_IDLE: Final = 1.0
"""Seconds between two statements in a transaction that a busy machine may need."""
_SETTINGS: Final = """
SELECT set_config('TimeZone', 'UTC', false),
       set_config('lock_timeout', '{lock}ms', false),
       set_config('idle_in_transaction_session_timeout', '{idle}ms', false),
       set_config('default_transaction_isolation', 'read committed', false),
       CASE WHEN current_setting('synchronous_commit') = 'off'
            THEN set_config('synchronous_commit', 'on', false) END
"""
# The check against deleted sequences must see what was committed before each statement.
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"


class PostgresqlDialect(Dialect):
    """PostgreSQL: with psycopg in one piece, with other drivers statement by statement."""

    drivers = (("psycopg", "psycopg"), ("psycopg2", "psycopg2"))
    install = "pip install 'spark-graphs[postgresql]'"

    @classmethod
    def engine_options(cls, url: URL, *, wait: float) -> dict[str, Any]:
        # With psycopg we begin transactions ourselves, and the driver begins none of its own accord.
        level = "AUTOCOMMIT" if url.get_driver_name() == "psycopg" else "READ COMMITTED"
        return {"isolation_level": level, "connect_args": connect_timeout(url, wait)}

    @classmethod
    def prepare_connections(cls, writing: Engine, reading: Engine, *, wait: float) -> None:
        # A writer that stands still in a transaction holds up its successor for half as long as that one waits.
        idle = max(wait / 2, _SHORTEST_IDLE)
        set_up_sessions((writing, reading), _SETTINGS.format(lock=int(LOCK_TIMEOUT * 1000), idle=int(idle * 1000)))

    def __init__(self, tables: Tables, sql: sqlalchemy.Dialect) -> None:
        super().__init__(tables, sql)
        self._is_psycopg = sql.driver == "psycopg"
        self.sends_in_one_piece = self._is_psycopg and _has_pipelines()
        records, graphs = tables.checkpoints, tables.graphs
        # A sequence in use is an error, which ends the transaction: nothing may be deleted for a record that is not stored.
        self._insert_or_fail = self._compiled(records.insert())
        was_deleted = exists().where(
            graphs.c.graph_id == bindparam("graph_id"), graphs.c.deleted_up_to >= bindparam("sequence")
        )
        # If somebody changed the isolation level of the session, a pooler in between for instance, the check is worthless.
        is_unsound = text("current_setting('transaction_isolation') <> 'read committed'")
        divisor = case((or_(was_deleted, is_unsound), literal_column("0")), else_=literal_column("1"))
        self._fail_if_deleted = self._compiled(select(literal_column("1").op("/")(divisor)))
        at_address = (records.c.graph_id == bindparam("graph_id"), records.c.sequence == bindparam("sequence"))
        deleted = delete(records).where(*at_address).returning(records.c.graph_id, records.c.sequence).cte("deleted")
        raise_deleted_up_to = self.insert_or_raise(graphs, "graph_id", "deleted_up_to")
        self._delete_and_raise = self._compiled(
            raise_deleted_up_to.from_select(
                ["graph_id", "deleted_up_to"], select(deleted.c.graph_id, deleted.c.sequence)
            )
        )

    @contextmanager
    def exclusively(self, connection: Connection, name: str) -> Iterator[None]:
        with connection.begin():
            if self._is_psycopg:
                connection.exec_driver_sql(_BEGIN)
            connection.execute(select(func.pg_advisory_xact_lock(lock_number(name))))
            yield

    def begin(self, driver: Any) -> None:
        if self._is_psycopg:
            driver.execute(_BEGIN)

    def set_lock_timeout(self, driver: Any, seconds: float) -> None:
        milliseconds = max(1, int(seconds * 1000))
        driver.cursor().execute(f"SELECT set_config('lock_timeout', '{milliseconds}ms', true)")

    def send(self, driver: Any, operations: Sequence[Operation]) -> Outcomes:
        """Outside of BEGIN and COMMIT, statements that are sent in one piece are one transaction; a check can end it.

        Each statement sees what was committed before it began, so the check after an insert sees a deletion that the insert
        waited for.
        """
        from psycopg.errors import DivisionByZero, OperationalError, UniqueViolation

        # Made before anything is sent: when the pipeline ends, even by an error, what it was given is committed.
        puts = [operation for operation in operations if isinstance(operation, Put)]
        new_blobs = [blob for each in operations if not isinstance(each, Delete) for blob in each.blobs]
        old_blobs = [{"graph_id": each.graph_id, "name": name} for each in operations for name in each.blobs_to_delete]
        try:
            with driver.pipeline():
                for put in puts:
                    self._insert_or_fail.run(driver, put.values)
                for put in puts:
                    self._fail_if_deleted.run(driver, {"graph_id": put.graph_id, "sequence": put.record.sequence})
                for blob in new_blobs:
                    self._insert_blob.run(driver, blob)
                for blob in old_blobs:
                    self._delete_blob.run(driver, blob)
                cursors = {
                    operation: [self._delete_sequence(driver, operation.graph_id, each) for each in operation.to_delete]
                    for operation in operations
                }
        except (DivisionByZero, UniqueViolation):
            raise RefusedError from None
        except OperationalError as error:
            if error.sqlstate is None:
                # No answer of the server's: the connection is lost, even if the driver has not noticed yet.
                driver.close()
            raise
        return {each: _deleted(each, [cursor.rowcount for cursor in cursors[each]]) for each in operations}

    def _delete_rows(self, driver: Any, operation: Operation) -> list[int]:
        cursors = [self._delete_sequence(driver, operation.graph_id, each) for each in operation.to_delete]
        return _deleted(operation, [cursor.rowcount for cursor in cursors])

    def _delete_sequence(self, driver: Any, graph_id: str, sequence: int) -> Any:
        return self._delete_and_raise.run(driver, {"graph_id": graph_id, "sequence": sequence})

    def insert_into(self, table: Table) -> Any:
        return postgresql.insert(table)

    def position_of(self, part: ColumnElement[str], column: ColumnElement[Any]) -> ColumnElement[int]:
        return func.strpos(column, part)


def _deleted(operation: Operation, counts: Sequence[int]) -> list[int]:
    return [sequence for sequence, count in zip(operation.to_delete, counts, strict=True) if count == 1]


def _has_pipelines() -> bool:
    from psycopg import Pipeline

    return Pipeline.is_supported()
