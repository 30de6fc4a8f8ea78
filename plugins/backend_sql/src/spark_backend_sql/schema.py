"""The tables, and how they come to be: created on first use, versioned, migrated forward under one lock."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    insert,
    inspect,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeDecorator, TypeEngine

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import written_members

LONGEST_GRAPH_ID: Final = 200
LONGEST_CHECKPOINT_ID: Final = 256
LONGEST_BLOB_NAME: Final = 100

_VERSION: Final = "_schema"
"""How the name of the table ends that holds the version of the others."""
_TEXT_LENGTH: Final = len("2024-02-29 12:00:00.123457")
_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,49}"
_TABLE_NAME: Final = re.compile(rf"(?:({_NAME})\.)?({_NAME})")


_OF_MYSQL: Final[dict[str, Any]] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}.items()
}
"""What tables are made with there, whatever the database's own settings."""
_LONG_BINARY: Final = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


class _InRange(ColumnElement[datetime]):
    """An instant as it is selected. PostgreSQL has instants in years that Python lacks: they are NULL."""

    inherit_cache = True
    _traverse_internals = [("instant", InternalTraversal.dp_clauseelement)]  # noqa: RUF012 - SQLAlchemy declares it

    def __init__(self, instant: ColumnElement[datetime], type_: TypeEngine[datetime]) -> None:
        self.instant = instant
        self.type = type_


@compiles(_InRange)
def _as_it_is(element: _InRange, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.instant, **options)


@compiles(_InRange, "postgresql")
def _in_range(element: _InRange, compiler: SQLCompiler, **options: Any) -> str:
    # Without a time zone, the driver adds none that could leave the range of years again.
    instant = f"({compiler.process(element.instant, **options)} AT TIME ZONE 'UTC')"
    return f"CASE WHEN {instant} >= TIMESTAMP '0001-01-01' AND {instant} < TIMESTAMP '10000-01-01' THEN {instant} END"


class UtcTimestamp(TypeDecorator[datetime]):
    """An instant to the microsecond, aware and in UTC in Python.

    ``timestamptz`` in PostgreSQL, ``datetime(6)`` in MySQL, text that sorts and that ``datetime()`` reads in SQLite.
    What can't be read comes back as None, so that one damaged row does not hide the others.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(Text())

    def column_expression(self, column: ColumnElement[datetime]) -> ColumnElement[datetime]:
        return _InRange(column, self)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        # Chosen once for each database: what SQLAlchemy wraps around process_bind_param takes longer than the work.
        if dialect.name == "postgresql":
            return None
        return _without_zone if dialect.name in ("mysql", "mariadb") else _sortable

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        try:
            instant = datetime.fromisoformat(value) if isinstance(value, str) else value
            return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
        except (AttributeError, ValueError, OverflowError):
            return None


class SearchableMetadata(TypeDecorator[dict[str, Any]]):
    """A record's metadata as a JSON object in text, each member on a line of its own. What can't be read comes back as None.

    A line break in a key or a value is written as ``\\n``, so the column has a member exactly when that member's line is a
    piece of the text; and 1, 1.0, ``true`` and ``"1"`` are different lines, as they are different values. This costs a save
    one short column, where an index over keys and values would cost several more rows.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        # Compared byte by byte, whatever the database's own language.
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TEXT(collation="C"))
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.MEDIUMTEXT(charset="ascii", collation="ascii_bin"))
        return dialect.type_descriptor(Text())

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return _metadata_text

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        try:
            found = json.loads(value)
        except (TypeError, ValueError, RecursionError):
            return None
        # Only our spelling is right: a search would not find another one.
        return found if isinstance(found, dict) and _metadata_text(found) == value else None


class Names(TypeDecorator[tuple[str, ...]]):
    """Names as text, with commas between them; none as NULL."""

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return _with_commas

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[str, ...]:
        return tuple(value.split(",")) if value else ()


def metadata_line(key: str, value: Any) -> str:
    """The piece of the text that a column of searchable metadata has exactly when it has this member."""
    (member,) = written_members({key: value})
    return f"\n{member}\n"


def _in_utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo is UTC else instant.astimezone(UTC)


def _without_zone(instant: datetime) -> datetime:
    return _in_utc(instant).replace(tzinfo=None)


def _sortable(instant: datetime) -> str:
    return _in_utc(instant).isoformat(" ", "microseconds")[:_TEXT_LENGTH]


def _with_commas(names: Sequence[str]) -> str | None:
    return ",".join(names) if names else None


def _metadata_text(metadata: Mapping[str, Any]) -> str:
    return "{\n" + "\n,\n".join(written_members(metadata)) + "\n}"


def id_column(longest: int) -> TypeEngine[str]:
    """Text that is compared by code point, whatever the database's own language."""
    return (
        Text()
        .with_variant(postgresql.TEXT(collation="C"), "postgresql")
        # Binary, and without padding: there "a" and "a " would otherwise be one id.
        .with_variant(mysql.VARCHAR(longest, collation="utf8mb4_0900_bin"), "mysql")
        .with_variant(mysql.VARCHAR(longest, collation="utf8mb4_nopad_bin"), "mariadb")
    )


class Tables:
    """The tables of one backend, as SQLAlchemy knows them.

    :param table_name: letters, digits and underscores, at most 50; ``schema.table`` on PostgreSQL.
    :raises ValueError: it is something else. No SQL was run.
    """

    def __init__(self, table_name: str, *, dialect: str) -> None:
        schema, name = _split(table_name, dialect=dialect)
        self.name = table_name
        self.metadata = MetaData(schema=schema)
        self.checkpoints = self._checkpoints(name)
        self.graphs = Table(
            f"{name}_graphs",
            self.metadata,
            Column("graph_id", id_column(LONGEST_GRAPH_ID), primary_key=True),
            Column("deleted_up_to", BigInteger, nullable=False),
            **_OF_MYSQL,
        )
        self.blobs = Table(
            f"{name}_blobs",
            self.metadata,
            Column("graph_id", id_column(LONGEST_GRAPH_ID), primary_key=True),
            Column("name", id_column(LONGEST_BLOB_NAME), primary_key=True),
            Column("content", _LONG_BINARY, nullable=False),
            **_OF_MYSQL,
        )
        # Some servers of MySQL refuse tables without a primary key.
        version = Column(
            "version", Integer, nullable=False, primary_key=dialect in ("mysql", "mariadb"), autoincrement=False
        )
        self.version = Table(f"{name}{_VERSION}", self.metadata, version, **_OF_MYSQL)
        _store_as_it_is(self.checkpoints.c.payload)
        _store_as_it_is(self.blobs.c.content)

    def _checkpoints(self, name: str) -> Table:
        manual = Column("manual", Boolean, nullable=False)
        checkpoint_id = Column("checkpoint_id", id_column(LONGEST_CHECKPOINT_ID), nullable=False)
        return Table(
            name,
            self.metadata,
            Column("graph_id", id_column(LONGEST_GRAPH_ID), primary_key=True),
            Column("sequence", BigInteger, primary_key=True, autoincrement=False),
            checkpoint_id,
            Column("timestamp", UtcTimestamp, nullable=False),
            manual,
            Column("parent", BigInteger),
            Column("version", Text, nullable=False),
            Column("format", Text, nullable=False),
            Column("compression", Text, nullable=False),
            Column("size", BigInteger, nullable=False),
            Column("raw_size", BigInteger, nullable=False),
            Column("nonce", Text, nullable=False),
            Column("checksum", Text, nullable=False),
            Column("signature", Text, nullable=False),
            Column("metadata", SearchableMetadata, nullable=False),
            Column("references_in_payload", Boolean),
            Column("codecs", Names),
            Column("serializer", Text),
            # The last one: what comes before a large value is read without it.
            Column("payload", _LONG_BINARY, nullable=False),
            # Only ids given by hand are looked up; automatic ones, which are many, need not be kept in order.
            Index(f"ix_{name}_id", checkpoint_id, sqlite_where=manual == true(), postgresql_where=manual),
            **_OF_MYSQL,
        )


def _store_as_it_is(column: Column[Any]) -> None:
    """Keep PostgreSQL from compressing what is compressed already, or was not meant to be."""
    statement: DDL = DDL(  # type: ignore[no-untyped-call]
        "ALTER TABLE %(fullname)s ALTER COLUMN %(column)s SET STORAGE EXTERNAL", context={"column": column.name}
    )
    event.listen(column.table, "after_create", statement.execute_if(dialect="postgresql"))


Migration = Callable[[Connection, Tables], None]


def create_tables(connection: Connection, tables: Tables) -> None:
    """From nothing to version 1."""
    tables.metadata.create_all(connection, tables=[tables.checkpoints, tables.graphs, tables.version], checkfirst=True)


def add_blobs(connection: Connection, tables: Tables) -> None:
    """From version 1 to 2: large values have a table of their own."""
    tables.blobs.create(connection, checkfirst=True)


def add_references(connection: Connection, tables: Tables) -> None:
    """From version 2 to 3: a record says whether its payload names the large values that it needs."""
    _add_columns(connection, tables, references_in_payload="BOOLEAN")


def add_names(connection: Connection, tables: Tables) -> None:
    """From version 3 to 4: a record names its codecs and its serializer."""
    _add_columns(connection, tables, codecs="TEXT", serializer="TEXT")


def _add_columns(connection: Connection, tables: Tables, **columns: str) -> None:
    """Add those that are not there, since a table that was made just now has all of them."""
    table = tables.checkpoints
    there = {each["name"] for each in inspect(connection).get_columns(table.name, schema=table.schema)}
    where = connection.dialect.identifier_preparer.format_table(table)
    for name, kind in columns.items():
        if name not in there:
            connection.execute(text(f"ALTER TABLE {where} ADD COLUMN {name} {kind}"))


MIGRATIONS: Sequence[Migration] = (create_tables, add_blobs, add_references, add_names)
"""The step from each version to the next. Never changed once released, only added to."""


def is_current(connection: Connection, tables: Tables) -> bool:
    """Whether the tables are of the version of this code; changes nothing.

    :raises BackendError: they are newer.
    """
    found = version_of(connection, tables)
    _refuse_newer(found, tables)
    return found == len(MIGRATIONS)


def is_there(connection: Connection, tables: Tables) -> bool:
    """Whether the tables were made, in whatever version; changes nothing."""
    return version_of(connection, tables) > 0


def names_of_tables(connection: Connection, tables: Tables) -> list[str]:
    """The names of the sets of tables that this backend has made in the database."""
    names = inspect(connection).get_table_names(schema=tables.version.schema)
    return [name.removesuffix(_VERSION) for name in names if name.endswith(_VERSION)]


def migrate(connection: Connection, tables: Tables) -> None:
    """Bring the tables to the version of this code.

    :param connection: in a transaction during which no other program changes these tables.
    :raises BackendError: they are newer than this code.
    """
    # Whoever held the lock before may have done it all.
    found = version_of(connection, tables)
    _refuse_newer(found, tables)
    for step in MIGRATIONS[found:]:
        step(connection, tables)
    if found < len(MIGRATIONS):
        _set_version(connection, tables, version=len(MIGRATIONS), is_first=found == 0)


def version_of(connection: Connection, tables: Tables) -> int:
    """The version of the tables in the database; 0 when there are none."""
    if not inspect(connection).has_table(tables.version.name, schema=tables.version.schema):
        return 0
    return connection.scalar(select(tables.version.c.version)) or 0


def _set_version(connection: Connection, tables: Tables, *, version: int, is_first: bool) -> None:
    change = insert(tables.version) if is_first else update(tables.version)
    connection.execute(change.values(version=version))


def _refuse_newer(found: int, tables: Tables) -> None:
    known = len(MIGRATIONS)
    if found > known:
        raise BackendError(
            f"The sql backend can't use the table {tables.name!r}: it has schema version {found}, and this release knows "
            f"versions up to {known}. A newer release wrote it. Upgrade here: pip install --upgrade "
            "spark-graphs-backend-sql; or give another table_name. Nothing was changed."
        )


def _split(table_name: str, *, dialect: str) -> tuple[str | None, str]:
    match = _TABLE_NAME.fullmatch(table_name) if isinstance(table_name, str) else None
    if match is None:
        raise ValueError(
            f"The table name {str(table_name)[:80]!r} can't be used by the sql backend: use letters, digits and underscores, "
            "no digit first, at most 50 of them; on PostgreSQL also schema.table."
        )
    schema, name = match[1], match[2]
    if schema is not None and dialect != "postgresql":
        raise ValueError(
            f"The table name {table_name!r} names a schema, which the sql backend takes on PostgreSQL only; write {name!r}."
        )
    if name.lower().startswith("sqlite_"):
        raise ValueError(f"The table name {table_name!r} is one that SQLite keeps for itself; choose another.")
    return schema, name
