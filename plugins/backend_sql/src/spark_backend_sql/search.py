"""Questions about checkpoints, answered by the database: which rows, in which order, how many.

Searchable metadata is one column of text: a JSON object with each member on a line of its own. A line break in a key or
a value is written as ``\\n``, so a member that is looked for is in the column exactly when its line is a piece of the text;
and 1, 1.0, ``true`` and ``"1"`` are different lines, as they are different values. It costs a save one short column, where
an index over keys and values would cost several more rows.
"""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import ColumnElement, Dialect, Select, Table, Text
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeDecorator

from spark.graphs.checkpoint import CheckpointQuery
from spark_backend_sql.dialects import position_of

_LARGEST_LIMIT: Final = 2**63 - 1
# The same spelling of every scalar as in the core's headers: ASCII, numbers as repr has them.
_ENCODER: Final = json.JSONEncoder(separators=("\n,\n", ":"), check_circular=False)


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


def narrowed(
    listing: Select[*tuple[Any, ...]], records: Table, query: CheckpointQuery, *, name: str
) -> Select[*tuple[Any, ...]]:
    """A listing of records, narrowed to what the query asks for. Keys and values are bound.

    It reads along the primary key, forwards or backwards, and stops at the limit; nothing is sorted.

    :param name: of the dialect.
    """
    keys = (records.c.graph_id, records.c.sequence)
    order = [key.desc() for key in keys] if query.newest_first else keys
    statement = listing.where(*_conditions(records, query, name=name)).order_by(*order)
    return statement if query.limit is None else statement.limit(min(query.limit, _LARGEST_LIMIT))


def _conditions(records: Table, query: CheckpointQuery, *, name: str) -> list[ColumnElement[bool]]:
    columns = records.c
    lines = [_line(key, value) for key, value in query.metadata.items()]
    conditions = [position_of(line, columns["metadata"], name=name) > 0 for line in lines]
    if query.graph_id is not None:
        conditions.append(columns.graph_id == query.graph_id)
    if query.after is not None:
        conditions.append(columns.timestamp > query.after)
    if query.before is not None:
        conditions.append(columns.timestamp < query.before)
    return conditions


def _text_of(metadata: dict[str, Any]) -> str:
    return f"{{\n{_ENCODER.encode(metadata)[1:-1]}\n}}"


def _line(key: str, value: Any) -> str:
    return f"\n{_ENCODER.encode({key: value})[1:-1]}\n"
