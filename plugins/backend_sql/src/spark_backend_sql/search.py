"""Questions about checkpoints, answered by the database: which rows, in which order, how many.

Searchable metadata is one column of text: a JSON object with each member on a line of its own. A line break in a key or
a value is written as ``\\n``, so a member that is looked for is in the column exactly when its line is a piece of the text;
and 1, 1.0, ``true`` and ``"1"`` are different lines, as they are different values. It costs a save one short column, where
an index over keys and values would cost several more rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Dialect, Select, Table, Text, bindparam
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeDecorator

from spark.graphs.checkpoint.storage import CheckpointQuery, written_members
from spark_backend_sql.dialects import position_of

_LARGEST_LIMIT: Final = 2**63 - 1


class SearchableMetadata(TypeDecorator[dict[str, Any]]):
    """A record's metadata, one member a line. What can't be read comes back as None."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        # Compared byte by byte, whatever the database's own language.
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TEXT(collation="C"))
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.MEDIUMTEXT(charset="ascii", collation="ascii_bin"))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str:
        return _text_of(value or {})

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        try:
            found = json.loads(value)
        except (TypeError, ValueError, RecursionError):
            return None
        # Only our spelling is right: a search would not find another one.
        return found if isinstance(found, dict) and _text_of(found) == value else None


class Search:
    """The listing of one table's records, narrowed to what queries ask for. Keys and values are bound, never part of the text.

    It reads along the primary key, forwards or backwards, and stops at the limit; nothing is sorted.

    :param dialect: of the database.
    """

    def __init__(self, listing: Select[*tuple[Any, ...]], records: Table, dialect: Dialect) -> None:
        self._listing = listing
        self._records = records
        self._name = dialect.name
        self._made = lru_cache(maxsize=64)(self._statement)

    def statement(self, query: CheckpointQuery) -> Select[*tuple[Any, ...]]:
        """What to ask the database; the same statement for queries that differ in values alone."""
        return self._made(tuple(self.values(query)), query.newest_first)

    def values(self, query: CheckpointQuery) -> dict[str, Any]:
        """What the statement binds for this query, by name."""
        values: dict[str, Any] = {"graph": query.graph_id, "after": query.after, "before": query.before}
        if query.limit is not None:
            values["limit"] = min(query.limit, _LARGEST_LIMIT)
        lines = {f"line_{number}": _line(key, value) for number, (key, value) in enumerate(query.metadata.items())}
        return {name: value for name, value in values.items() if value is not None} | lines

    def _statement(self, bound: tuple[str, ...], newest_first: bool) -> Select[*tuple[Any, ...]]:
        keys = (self._records.c.graph_id, self._records.c.sequence)
        order = [key.desc() for key in keys] if newest_first else keys
        statement = self._listing.where(*self._conditions(bound)).order_by(*order)
        return statement.limit(bindparam("limit", type_=BigInteger)) if "limit" in bound else statement

    def _conditions(self, bound: tuple[str, ...]) -> list[ColumnElement[bool]]:
        columns = self._records.c
        metadata = columns["metadata"]
        conditions = {
            "graph": columns.graph_id == bindparam("graph"),
            "after": columns.timestamp > bindparam("after"),
            "before": columns.timestamp < bindparam("before"),
        }
        return [
            conditions[name]
            if name in conditions
            else position_of(bindparam(name, type_=Text), metadata, name=self._name) > 0
            for name in bound
            if name != "limit"
        ]


def _text_of(metadata: Mapping[str, Any]) -> str:
    """What the column holds of this metadata."""
    return "{\n" + "\n,\n".join(written_members(metadata)) + "\n}"


def _line(key: str, value: Any) -> str:
    (member,) = written_members({key: value})
    return f"\n{member}\n"
