"""MySQL and MariaDB: statement by statement, and an INSERT in conflict is an error that leaves its transaction usable."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, Insert, Table, bindparam, func, select
from sqlalchemy.dialects import mysql
from sqlalchemy.sql.elements import ClauseElement

from spark.errors import BackendError
from spark_backend_sql.dialect import Dialect, connect_timeout, lock_number, set_up_sessions
from spark_backend_sql.faults import is_in_use
from spark_backend_sql.operations import Put, PutBlobs
from spark_backend_sql.schema import Tables

_LONGEST_LOCK: Final = 30
"""Seconds that creating the tables waits for another program that does so."""
_LARGE: Final = 64 * 1024
"""Values of so many bytes and more are sent as base64: PyMySQL would write two letters for each byte."""
_PACKET: Final = 1024 * 1024
"""A value of so many bytes may be more than the server takes in one statement,"""
_REST: Final = 64 * 1024
"""in which there are at most this many bytes beside it."""
# Whatever the server's own mode: nothing is cut to fit, and text is quoted as the drivers expect.
_SETTINGS: Final = "SET SESSION innodb_lock_wait_timeout = 1, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"


class MysqlDialect(Dialect):
    """MySQL and MariaDB, with InnoDB."""

    drivers: ClassVar[Sequence[tuple[str, str]]] = (("pymysql", "pymysql"), ("MySQLdb", "mysqldb"))
    install = "pip install 'spark-graphs[mysql]'"

    @classmethod
    def engine_options(cls, url: URL, *, wait: float) -> dict[str, Any]:
        _refuse_other_charset(url)
        options: dict[str, Any] = connect_timeout(url, wait)
        if url.get_driver_name() in ("pymysql", "mysqldb"):
            options["charset"] = "utf8mb4"
        # The check against deleted sequences must see what was committed before each statement.
        return {"isolation_level": "READ COMMITTED", "connect_args": options}

    @classmethod
    def prepare_connections(cls, writing: Engine, reading: Engine, *, wait: float, creates: bool) -> None:
        set_up_sessions((writing, reading), _SETTINGS)

    def __init__(self, tables: Tables, sql: sqlalchemy.Dialect) -> None:
        super().__init__(tables, sql)
        encoded = {"payload": func.from_base64(bindparam("payload"))}
        self._insert_large_record = self._compiled(
            self.insert_into(tables.checkpoints).values({**_bound(tables.checkpoints), **encoded})
        )
        content = {"content": func.from_base64(bindparam("content"))}
        self._insert_large_blob = self._compiled(
            self.insert_or_keep(tables.blobs, ["graph_id", "name"]).values({**_bound(tables.blobs), **content})
        )

    @contextmanager
    def exclusively(self, connection: Connection, name: str) -> Iterator[None]:
        # There, creating a table ends the transaction, so the lock is the session's.
        lock = f"spark_{lock_number(name):x}"
        with connection.begin():
            if connection.scalar(select(func.get_lock(lock, _LONGEST_LOCK))) != 1:
                raise BackendError(
                    f"The sql backend waited {_LONGEST_LOCK} s for the lock on the table {name!r}; run again."
                )
        try:
            with connection.begin():
                yield
        finally:
            with connection.begin():
                connection.execute(select(func.release_lock(lock)))

    def begin(self, driver: Any) -> None:
        """The driver has begun one already."""

    def _insert_row(self, driver: Any, put: Put) -> bool:
        payload = put.values["payload"]
        try:
            if len(payload) < _LARGE:
                return super()._insert_row(driver, put)
            values = {**put.values, "payload": _encoded(driver, payload, put.subject)}
            inserted: int = self._insert_large_record.run(driver, values).rowcount
            return inserted == 1
        except self._sql.loaded_dbapi.IntegrityError as error:
            if not is_in_use(error):
                raise
            return False

    def _insert_blobs(self, driver: Any, operation: Put | PutBlobs) -> None:
        small = [blob for blob in operation.blobs if len(blob["content"]) < _LARGE]
        if small:
            self._insert_blob.run_many(driver, small)
        for blob in operation.blobs:
            if len(blob["content"]) >= _LARGE:
                content = _encoded(driver, blob["content"], operation.subject)
                self._insert_large_blob.run(driver, {**blob, "content": content})

    def insert_into(self, table: Table) -> Any:
        return mysql.insert(table)

    def insert_new(self, table: Table, keys: Sequence[str]) -> ClauseElement:
        return table.insert()

    def insert_or_keep(self, table: Table, keys: Sequence[str]) -> Insert:
        return mysql.insert(table).on_duplicate_key_update({keys[0]: table.c[keys[0]]})

    def insert_or_raise(self, table: Table, key: str, column: str) -> Insert:
        new = mysql.insert(table)
        return new.on_duplicate_key_update({column: func.greatest(table.c[column], new.inserted[column])})


class MariadbDialect(MysqlDialect):
    """MariaDB, which ends transactions that stand still."""

    @classmethod
    def prepare_connections(cls, writing: Engine, reading: Engine, *, wait: float, creates: bool) -> None:
        # A writer that stands still in a transaction holds up its successor for half as long as that one waits.
        idle = max(1, int(wait / 2))
        set_up_sessions((writing, reading), f"{_SETTINGS}, idle_write_transaction_timeout = {idle}")


def _refuse_other_charset(url: URL) -> None:
    charset = url.query.get("charset", "utf8mb4")
    if charset != "utf8mb4":
        raise ValueError(
            f"The sql backend can't use charset={charset}: ids are any text. Leave it out, or write utf8mb4."
        )


def _bound(table: Table) -> dict[str, Any]:
    return {column.name: bindparam(column.name, type_=column.type) for column in table.columns}


def _encoded(driver: Any, value: bytes, subject: str) -> str:
    """The value as base64.

    :raises BackendError: it is more than the server takes. It would cut the connection, and not say why.
    """
    encoded = b64encode(value).decode()
    if len(value) >= _PACKET:
        cursor = driver.cursor()
        cursor.execute("SELECT @@max_allowed_packet")
        (most,) = cursor.fetchone()
        if len(encoded) + _REST > most:
            raise BackendError(
                f"The sql backend could not save {subject}: a value of {len(value):,} bytes is in it, and the server takes "
                f"{most:,} bytes in a statement, of which a value may fill three quarters. Nothing was written. Raise "
                "max_allowed_packet on the server, or keep less in the state."
            )
    return encoded
