"""The file that holds a database of SQLite: where it is, and who may read it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final
from urllib.parse import unquote

from sqlalchemy import URL

URI: Final = "file:"
"""So begins a path that is written as a URI."""


def file_of(url: URL) -> str:
    """The path of the file."""
    database = url.database or ""
    if not database.startswith(URI):
        return database
    path = unquote(database.removeprefix(URI).partition("?")[0].partition("#")[0])
    return "/" + path[2:].partition("/")[2] if path.startswith("//") else path


def create_for_the_owner(url: URL) -> None:
    """Make the file of a new database such that nobody else can read it, before SQLite makes it for everybody.

    Its log, and whatever else SQLite puts beside it, get the same mode. A file that is there keeps its own.
    """
    if url.query.get("mode") in ("ro", "rw") or url.query.get("immutable"):
        return
    # Where it can't be made, SQLite says so in its own words.
    with suppress(OSError):
        created = os.open(os.path.realpath(file_of(url)), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(created, 0o600)  # whatever the umask takes away
        finally:
            os.close(created)
