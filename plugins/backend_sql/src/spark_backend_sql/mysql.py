"""MySQL and MariaDB: statement by statement, and an INSERT in conflict is an error that leaves its transaction usable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from sqlalchemy import URL, Connection, Engine, Insert, Table, func, select
from sqlalchemy.dialects import mysql
from sqlalchemy.sql.elements import ClauseElement

from spark.errors import BackendError
from spark_backend_sql.dialect import Dialect, connect_timeout, lock_number, set_up_sessions
from spark_backend_sql.operations import Put

_LONGEST_LOCK: Final = 30
"""Seconds that creating the tables waits for another program that does so."""


class MysqlDialect(Dialect):
    """MySQL and MariaDB, with InnoDB."""

    drivers: ClassVar[Sequence[tuple[str, str]]] = (("pymysql", "pymysql"), ("MySQLdb", "mysqldb"))
    install = "pip install pymysql"

    @classmethod
    def engine_options(cls, url: URL, *, wait: float) -> dict[str, Any]:
        # The check against deleted sequences must see what was committed before each statement.
        return {"isolation_level": "READ COMMITTED", "connect_args": connect_timeout(url, wait)}

    @classmethod
    def prepare_connections(cls, writing: Engine, reading: Engine, *, wait: float) -> None:
        set_up_sessions((writing, reading), "SET SESSION innodb_lock_wait_timeout = 1")

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
        try:
            return super()._insert_row(driver, put)
        except self._sql.loaded_dbapi.IntegrityError:
            return False

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
    """MariaDB, which has a driver of its own, too."""

    drivers = (*MysqlDialect.drivers, ("mariadb", "mariadbconnector"))
