"""Statements compiled once, and run by the driver as text: nothing is left to decide each time.

Running a statement through SQLAlchemy's expression layer costs about as much as SQLite takes to store a small checkpoint.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias

from sqlalchemy import Boolean, Dialect, LargeBinary, Select, Table
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

Query: TypeAlias = Select[*tuple[Any, ...]]
Rows: TypeAlias = Sequence[Sequence[Any]]
Fetch: TypeAlias = Callable[[Any, Callable[[Any], Any]], Rows]


class DriverStatement:
    """A statement in the words of one database's driver. Values are bound by name, as the driver takes them."""

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self.text: Final = str(compiled)
        self.types: Final = {name: bind.type for name, bind in compiled.binds.items()}
        """What each bound value is."""
        self.constants: Final = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        """Values that the statement was made with, by name."""
        self.arrange: Final = _arranger(compiled.positiontup)
        """Brings values into the order in which the driver takes them; None where it takes them by name."""

    def run(self, driver: Any, values: Mapping[str, Any]) -> Any:
        """The driver's cursor, after the statement was run once."""
        cursor = driver.cursor()
        cursor.execute(self.text, values if self.arrange is None else self.arrange(values))
        return cursor

    def run_many(self, driver: Any, rows: Iterable[Mapping[str, Any]]) -> Any:
        """The driver's cursor, after it was run for each of these rows."""
        cursor = driver.cursor()
        cursor.executemany(self.text, rows if self.arrange is None else map(self.arrange, rows))
        return cursor


class DriverRows:
    """A statement that takes many rows at once, for a driver that binds values by position.

    SQLite carries it out in one go. Row by row it takes half as long again, and a busy thread could hold it up after each.

    :param statement: what is done with rows, taking one of them from ``row``.
    :param row: a SELECT of one row of bound values.
    :param counts: how many rows it can be run with, rising. Where there are fewer, it gets rows of NULLs, with which it has to
        do nothing.
    """

    def __init__(
        self, statement: ClauseElement, row: ClauseElement, dialect: Dialect, *, counts: Sequence[int]
    ) -> None:
        one, source = DriverStatement(statement, dialect), DriverStatement(row, dialect).text
        assert one.arrange is not None
        before, after = one.text.split(source)
        self._arrange = one.arrange
        self._counts = counts
        self._texts = {count: before + " UNION ALL ".join([source] * count) + after for count in counts}

    def run(self, driver: Any, rows: Sequence[Mapping[str, Any]]) -> int:
        """How many rows were changed, after it was run for all of these."""
        most, changed = self._counts[-1], 0
        for start in range(0, len(rows), most):
            changed += self._run(driver, [*map(self._arrange, rows[start : start + most])])
        return changed

    def _run(self, driver: Any, rows: list[tuple[Any, ...]]) -> int:
        count = self._counts[bisect_left(self._counts, len(rows))]
        rows += [(None,) * len(rows[0])] * (count - len(rows))
        cursor = driver.cursor()
        cursor.execute(self._texts[count], [*chain.from_iterable(rows)])
        changed: int = cursor.rowcount
        return changed


class DriverQuery:
    """A SELECT as a ``DriverStatement``; values and rows are those of SQLAlchemy."""

    def __init__(self, query: Query, dialect: Dialect) -> None:
        self._statement = DriverStatement(query, dialect)
        bind = {
            name: kind.dialect_impl(dialect).bind_processor(dialect) for name, kind in self._statement.types.items()
        }
        self._bind = {name: process for name, process in bind.items() if process is not None}
        self._results = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in query.selected_columns
        ]

    def rows(self, driver: Any, values: Mapping[str, Any], fetch: Fetch | None = None) -> Rows:
        """Every row.

        :param fetch: gets the driver's connection and what runs the statement on it, and returns the driver's rows.
        """
        bound = self._statement.constants | {
            name: self._bind[name](value) if name in self._bind else value for name, value in values.items()
        }
        run = partial(self._statement.run, values=bound)
        return [self._understood(row) for row in (fetch(driver, run) if fetch else run(driver).fetchall())]

    def _understood(self, row: Sequence[Any]) -> list[Any]:
        return [value if process is None else process(value) for process, value in zip(self._results, row, strict=True)]


class Binder:
    """Turns values of a table's columns into those that the driver takes; ``bool`` and ``bytes`` are taken as they are."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        processors = {
            column.name: column.type.dialect_impl(dialect).bind_processor(dialect)
            for column in table.columns
            if not isinstance(column.type, Boolean | LargeBinary)
        }
        self._processors = [(name, process) for name, process in processors.items() if process is not None]

    def bind(self, values: dict[str, Any]) -> dict[str, Any]:
        """The same dict, its values replaced."""
        for name, process in self._processors:
            values[name] = process(values[name])
        return values


def _arranger(order: Sequence[str] | None) -> Callable[[Mapping[str, Any]], tuple[Any, ...]] | None:
    """What picks the values in this order; None where the driver takes them by name."""
    if order is None:
        return None
    return itemgetter(*order) if len(order) > 1 else lambda values: tuple(values[name] for name in order)
