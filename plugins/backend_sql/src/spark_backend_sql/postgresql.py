"""PostgreSQL: a server, where a round trip costs more than most statements; psycopg sends a whole transaction in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

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
    event,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects import postgresql

from spark_backend_sql.compiled import Rows
from spark_backend_sql.dialect import LOCK_TIMEOUT, Dialect, RefusedError, connect_timeout, lock_number
from spark_backend_sql.operations import Delete, Operation, Outcomes, Put
from spark_backend_sql.schema import Tables

_SHORTEST_IDLE: Final = 1.0
"""Seconds between two statements in a transaction that a busy machine may need."""
_SETTINGS: Final = """
SELECT set_config('TimeZone', 'UTC', {local}),
       set_config('lock_timeout', '{lock}ms', {local}),
       set_config('idle_in_transaction_session_timeout', '{idle}ms', {local}),
       CASE WHEN current_setting('synchronous_commit') = 'off'
            THEN set_config('synchronous_commit', 'on', {local}) END
"""
_OF_SESSION: Final = """,
       set_config('default_transaction_isolation', 'read committed', false)
 WHERE pg_backend_pid() = {process}
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
        arguments: dict[str, Any] = connect_timeout(url, wait) | _threshold_of(url)
        if _has_several_hosts(url) and "target_session_attrs" not in url.query:
            arguments["target_session_attrs"] = "read-write"  # otherwise the first one that answers, be it a replica
        return {"isolation_level": level, "connect_args": arguments}

    @classmethod
    def prepare_connections(cls, writing: Engine, reading: Engine, *, wait: float, creates: bool) -> None:
        # A writer that stands still in a transaction holds up its successor for half as long as that one waits.
        idle = max(wait / 2, _SHORTEST_IDLE)
        settings = partial(_SETTINGS.format, lock=int(LOCK_TIMEOUT * 1000), idle=int(idle * 1000))
        prepares = "prepare_threshold" in writing.url.query
        set_up = partial(_set_up, of_session=settings(local="false"), local=settings(local="true"), prepares=prepares)
        for engine in (writing, reading):
            event.listen(engine, "connect", lambda driver, _: set_up(driver))

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
            if local := _LOCAL.get(connection.connection.driver_connection):
                connection.exec_driver_sql(local)
            connection.execute(select(func.pg_advisory_xact_lock(lock_number(name))))
            yield

    def begin(self, driver: Any) -> None:
        statements = [_BEGIN] if self._is_psycopg else []
        statements += [local] if (local := _LOCAL.get(driver)) else []
        if statements:
            driver.cursor().execute(";".join(statements))

    def takes_pieces(self, driver: Any) -> bool:
        # PgBouncer 1.18, of several releases of Debian, hangs now and then where many clients send pieces.
        return driver not in _LOCAL

    def fetch(self, driver: Any, run: Callable[[Any], Any]) -> Rows:
        local = _LOCAL.get(driver)
        if local is None:
            return super().fetch(driver, run)
        control = driver.cursor()
        control.execute(f"BEGIN READ ONLY; {local}")
        try:
            return super().fetch(driver, run)
        finally:
            control.execute("COMMIT")  # a ROLLBACK after an error

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


_LOCAL: Final[WeakKeyDictionary[Any, str]] = WeakKeyDictionary()
"""Of each connection that leads to a pooler: the statement that makes the settings for one transaction."""


def _set_up(driver: Any, *, of_session: str, local: str, prepares: bool) -> None:
    """Make the settings of a new connection, once and for all, or note that each transaction has to make them.

    A pooler, such as PgBouncer, has given its own number in place of the server process's, which is another one in each
    transaction. What were set for the session would be lost there, and come to others; so would statements that are prepared.
    """
    cursor = driver.cursor()
    cursor.execute(of_session + _OF_SESSION.format(process=driver.info.backend_pid))
    is_direct = cursor.fetchone() is not None
    cursor.close()
    driver.commit()  # or the settings would be undone with their transaction
    if is_direct:
        return
    _LOCAL[driver] = local
    if not prepares:  # psycopg2 never does
        driver.prepare_threshold = None


def _threshold_of(url: URL) -> dict[str, int]:
    """After how many times the driver has the server prepare a statement, where the URL says so."""
    threshold = url.query.get("prepare_threshold")
    if threshold is None:
        return {}
    if isinstance(threshold, str) and threshold.isdecimal():
        return {"prepare_threshold": int(threshold)}
    raise ValueError(f"The option prepare_threshold of the URL is {threshold!r}: give a number, from 0.")


def _has_several_hosts(url: URL) -> bool:
    hosts = url.query.get("host", url.host or "")
    return "," in hosts if isinstance(hosts, str) else len(hosts) > 1


def _deleted(operation: Operation, counts: Sequence[int]) -> list[int]:
    return [sequence for sequence, count in zip(operation.to_delete, counts, strict=True) if count == 1]


def _has_pipelines() -> bool:
    from psycopg import Pipeline

    return Pipeline.is_supported()
