"""How a database answers a query of the sql backend."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from spark_backend_sql import DatabaseCheckpointBackend
from spark_backend_sql.compiled import DriverQuery, Query


class _Explaining:
    """A driver's connection, and its cursors, that explain a statement instead of running it."""

    def __init__(self, driver: Any, prefix: str) -> None:
        self._driver = driver
        self._prefix = prefix
        self.plan = ""

    def cursor(self) -> _Explaining:
        return self

    def execute(self, statement: str, values: Any) -> None:
        rows = self._driver.cursor().execute(f"{self._prefix} {statement}", values).fetchall()
        self.plan = "\n".join(str(row[-1]) for row in rows).upper()

    def fetchall(self) -> list[Any]:
        return []


def plan_of(backend: DatabaseCheckpointBackend, query: Query, values: dict[str, Any]) -> str:
    """The plan in the database's own words and in capital letters, as if the tables were large."""
    engine = backend.database.reading
    with engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if not is_sqlite:
            # A few rows are read faster without an index.
            connection.execute(text("SET enable_seqscan = off"))
            connection.execute(text("SET enable_bitmapscan = off"))
        explaining = _Explaining(
            connection.connection.driver_connection, "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        )
        DriverQuery(query, engine.dialect).rows(explaining, values)
        return explaining.plan
