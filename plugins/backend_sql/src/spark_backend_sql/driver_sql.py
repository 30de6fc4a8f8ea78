"""Statements of the hot path, handed to the driver as text: compiled once, with nothing left to decide per run.

Running a statement through SQLAlchemy's expression layer costs about as much as SQLite takes to store a small checkpoint.
Connections and errors stay SQLAlchemy's, and all transactions but those of ``shortcut``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Boolean, Connection, CursorResult, Dialect, LargeBinary, Table
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement


class DriverStatement:
    """A statement in the words of one database's driver; its values are bound by the driver.

    Values are given by name, as the driver takes them.
    """

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self.text = str(compiled)
        self._arrange = _arranger(compiled.positiontup)
        self.constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        """Values that stand in the statement, by the names that they were given: bound along with the caller's."""
        self._types = {name: bind.type for name, bind in compiled.binds.items()}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Run it once."""
        return connection.exec_driver_sql(self.text, self.arranged(values))

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
        """Run it for each of these; its result counts the rows of all, where the driver does."""
        return connection.exec_driver_sql(self.text, [self.arranged(values) for values in rows])

    def bind_processors(self, dialect: Dialect) -> dict[str, Callable[[Any], Any]]:
        """By name, what turns a value into the one that the driver takes, where that is another."""
        processors = {name: kind.dialect_impl(dialect).bind_processor(dialect) for name, kind in self._types.items()}
        return {name: process for name, process in processors.items() if process is not None}

    def arranged(self, values: Mapping[str, Any]) -> Any:
        """The values as the driver takes them beside the text."""
        return values if self._arrange is None else self._arrange(values)


def _arranger(order: Sequence[str] | None) -> Callable[[Mapping[str, Any]], tuple[Any, ...]] | None:
    """What picks the values in this order; None where the driver takes them by name."""
    if order is None:
        return None
    return itemgetter(*order) if len(order) > 1 else lambda values: tuple(values[name] for name in order)


class Binder:
    """Turns values of a table's columns into those that the driver takes; ``bool`` and ``bytes`` they all take as they are."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        processors = {
            column.name: column.type.dialect_impl(dialect).bind_processor(dialect)
            for column in table.columns
            if not isinstance(column.type, Boolean | LargeBinary)
        }
        self._processors = [(name, processor) for name, processor in processors.items() if processor is not None]

    def bind(self, values: dict[str, Any]) -> dict[str, Any]:
        """The same dict, its values replaced."""
        for name, process in self._processors:
            values[name] = process(values[name])
        return values
