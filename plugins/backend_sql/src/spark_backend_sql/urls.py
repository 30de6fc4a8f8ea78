"""Connection strings: understood, given a driver, and made to mean the same wherever the program goes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from sqlalchemy import URL
from sqlalchemy.exc import ArgumentError

from spark.errors import BackendError
from spark.hooks import is_cut_short, redact
from spark_backend_sql.dialect import Dialect
from spark_backend_sql.faults import shown
from spark_backend_sql.mysql import MariadbDialect, MysqlDialect
from spark_backend_sql.options import url_of
from spark_backend_sql.postgresql import PostgresqlDialect
from spark_backend_sql.sqlite import SqliteDialect, is_in_memory, with_absolute_path

DIALECTS: Final[dict[str, type[Dialect]]] = {
    "sqlite": SqliteDialect,
    "postgresql": PostgresqlDialect,
    "mysql": MysqlDialect,
    "mariadb": MariadbDialect,
}


def parsed(connection_string: str) -> URL:
    """The URL, with a driver, and of a file with its absolute path.

    :raises ValueError: it can't be understood, or means a database in memory.
    :raises BackendError: no driver for it is installed.
    """
    if not isinstance(connection_string, str | URL):
        raise TypeError(f"The connection string of the sql backend is a str, not {type(connection_string).__name__}.")
    try:
        url = url_of(connection_string)
    except (ArgumentError, ValueError):
        url = None
    if url is None or (isinstance(connection_string, str) and is_cut_short(connection_string)):
        # Not chained: the parser's message may quote a piece of the password.
        raise ValueError(
            f"{redact(str(connection_string))!r} is not a connection string of the sql backend; write for instance "
            "sqlite:///checkpoints.db or postgresql://user:password@host/database, with special characters "
            "in the password as %XX."
        )
    if dialect_for(url) is not SqliteDialect:
        return _with_driver(url)
    if is_in_memory(url):
        raise ValueError(
            f"{shown(url)!r} is a database in memory, which the sql backend does not use: its connections would not share it. "
            "Take InMemoryCheckpointBackend() or memory://, or name a file: sqlite:///checkpoints.db"
        )
    return with_absolute_path(url)


def dialect_for(url: URL) -> type[Dialect]:
    """What is known about this kind of database.

    :raises ValueError: nothing is.
    """
    name = url.get_backend_name()
    if name not in DIALECTS:
        raise ValueError(f"The sql backend can't use {name}://; it uses {', '.join(DIALECTS)}.")
    return DIALECTS[name]


def missing_driver(url: URL) -> BackendError:
    """The error for a database whose driver is not installed."""
    return BackendError(
        f"The sql backend can't reach a {url.get_backend_name()} database: the driver for {url.drivername}:// is not "
        f"installed. To get one: {dialect_for(url).install}"
    )


def refuse_async(url: URL) -> None:
    """
    :raises ValueError: the URL names a driver for asyncio.
    """
    if url.get_dialect().is_async:
        raise ValueError(
            f"{shown(url)!r} names an asynchronous driver, which the sql backend does not use: it has threads of its own. "
            f"Write {url.get_backend_name()}:// alone."
        )


def refuse_untried_driver(url: URL) -> None:
    """
    :raises ValueError: the URL names a driver that this backend was not written for.
    """
    known = [driver for _, driver in dialect_for(url).drivers]
    if known and url.get_driver_name() not in known:
        raise ValueError(
            f"{shown(url)!r} names the driver {url.get_driver_name()}, which the sql backend does not use: it uses "
            f"{' or '.join(known)}. Write {url.get_backend_name()}:// alone."
        )


def _with_driver(url: URL) -> URL:
    """The URL with a driver that is installed, when it names none."""
    if "+" in url.drivername:
        return url
    for module, driver in dialect_for(url).drivers:
        if find_spec(module) is not None:
            return url.set(drivername=f"{url.drivername}+{driver}")
    raise missing_driver(url)
