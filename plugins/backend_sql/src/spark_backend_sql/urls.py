"""Connection strings: understood, and made to mean the same wherever the program goes."""

from __future__ import annotations

import os
from urllib.parse import quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from spark.hooks import is_cut_short, redact
from spark_backend_sql.dialects import with_driver
from spark_backend_sql.faults import shown
from spark_backend_sql.sqlite_files import URI, file_of


def parsed(connection_string: str) -> URL:
    """The URL, with a driver, and of a file with its absolute path.

    :raises ValueError: it can't be understood, or means a database in memory.
    :raises BackendError: no driver for it is installed.
    """
    if not isinstance(connection_string, str | URL):
        raise TypeError(f"The connection string of the sql backend is a str, not {type(connection_string).__name__}.")
    try:
        url = make_url(connection_string)
    except (ArgumentError, ValueError):
        url = None
    if url is None or (isinstance(connection_string, str) and is_cut_short(connection_string)):
        # Not chained: the parser's message may quote a piece of the password.
        raise ValueError(
            f"{redact(str(connection_string))!r} is no connection string of the sql backend; write for instance "
            "sqlite:///checkpoints.db or postgresql://user:password@host/database, with special characters "
            "in the password as %XX."
        )
    return with_driver(_with_absolute_path(url) if url.get_backend_name() == "sqlite" else url)


def refuse_async(url: URL) -> None:
    """
    :raises ValueError: the URL names a driver for asyncio.
    """
    if url.get_dialect().is_async:
        raise ValueError(
            f"{shown(url)!r} names an asynchronous driver, which the sql backend does not use: it has threads of its own. "
            f"Write {url.get_backend_name()}:// alone."
        )


def _with_absolute_path(url: URL) -> URL:
    """The URL that means the same file whatever the program's working directory becomes; ``~`` is the user's home."""
    database = url.database or ""
    if database in ("", ":memory:") or url.query.get("mode") == "memory" or database.startswith("file::memory:"):
        raise ValueError(
            f"{shown(url)!r} is a database in memory, which the sql backend does not use: its connections would not share it. "
            "Take InMemoryCheckpointBackend() or memory://, or name a file: sqlite:///checkpoints.db"
        )
    path = os.path.abspath(os.path.expanduser(file_of(url)))
    return url.set(database=URI + quote(path) if database.startswith(URI) else path)
