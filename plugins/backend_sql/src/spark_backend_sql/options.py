"""What the query of a connection string may say: the backend's own options, and those that its driver knows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from typing import Any, Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from spark_backend_sql.faults import shown


def url_of(connection_string: str | URL) -> URL:
    """The URL; several hosts may be written as libpq writes them, with a port each: ``postgresql://user@one:5432,two:5432/runs``.

    :raises ArgumentError: it can't be understood.
    :raises ValueError: nor this.
    """
    found = re.fullmatch(_SEVERAL_HOSTS, connection_string) if isinstance(connection_string, str) else None
    if found is None:
        return make_url(connection_string)
    return make_url(found["before"] + found["after"]).update_query_pairs(
        [("host", host) for host in found["hosts"].split(",")], append=True
    )


def split_own_options(connection_string: str) -> tuple[str, dict[str, Any]]:
    """A connection string without the options of this backend, and these, as its constructor takes them.

    :raises ValueError: one of them has no such value, or is there twice.
    """
    try:
        url = url_of(connection_string)
    except (ArgumentError, ValueError):  # which is told when it is used
        return connection_string, {}
    found = {name: _value_of(name, url) for name in _OWN if name in url.query}
    if not found:
        return connection_string, {}
    return url.difference_update_query([*found]).render_as_string(hide_password=False), found


def check_query(url: URL) -> None:
    """
    :raises ValueError: the query of the URL has an option that nobody would use.
    """
    known, objects = _known_to(url.get_driver_name(), url)
    for name in url.query:
        if name in _OWN:
            raise ValueError(
                f"{name} is an option of the sql backend, and not of its driver: give it as an argument, "
                f"DatabaseCheckpointBackend(url, {name}=…)."
            )
        if name in _OF_POOLS:
            raise ValueError(
                f"{shown(url)!r} has the option {name}, which the sql backend does not use: it has no SQLAlchemy pool, but "
                "one connection to write and up to readers=4 to read, which reconnect by themselves."
            )
        if name in objects or (known is not None and name not in known):
            raise ValueError(f"{shown(url)!r} has the option {name}, which its driver does not take. {_hint(url)}")


def _hint(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return "Options of SQLite itself need uri=true: sqlite:///file:runs.db?mode=ro&uri=true"
    return "Is it misspelt?"


def _value_of(name: str, url: URL) -> Any:
    value, *more = url.normalized_query[name]
    if more:
        raise ValueError(f"The option {name} is in the URL twice. Give it once.")
    try:
        return _OWN[name](value)
    except ValueError:
        raise ValueError(f"The option {name} of the URL is {value!r}, which is not a number.") from None


def _known_to(driver: str, url: URL) -> tuple[Collection[str] | None, Collection[str]]:
    """The options that a driver knows, None where that can't be asked; and those of them that are no text."""
    if driver == "psycopg":
        from psycopg.pq import Conninfo

        return {option.keyword.decode() for option in Conninfo.get_defaults()} | {"prepare_threshold"}, ()
    if driver == "pymysql":
        from pymysql.connections import Connection

        known = {*inspect.signature(Connection.__init__).parameters, *_OF_SQLALCHEMY}
        return known, ("autocommit", "auth_plugin_map", "conv", "cursorclass", "defer_connect", "self", "sql_mode")
    if driver == "pysqlite" and url.query.get("uri") != "true":
        return _OF_SQLITE, ()  # SQLAlchemy would leave out the others
    return None, ()


_OWN: Final[dict[str, Callable[[str], Any]]] = {"readers": int, "table_name": str, "wait": float}
_OF_POOLS: Final = (
    "max_overflow",
    "pool_pre_ping",
    "pool_recycle",
    "pool_size",
    "pool_timeout",
    "pool_use_lifo",
    "poolclass",
)
_OF_SQLITE: Final = ("cached_statements", "check_same_thread", "detect_types", "isolation_level", "timeout", "uri")
_OF_SQLALCHEMY: Final = ("ssl_capath", "ssl_check_hostname", "ssl_cipher")
_SEVERAL_HOSTS: Final = (
    r"(?P<before>postgresql[+\w]*://(?:[^@/]*@)?)(?P<hosts>[^/?@,]+(?:,[^/?@,]+)+)(?P<after>[/?].*)?"
)
