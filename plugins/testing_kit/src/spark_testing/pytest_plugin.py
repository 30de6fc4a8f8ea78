"""What pytest finds wherever this distribution is installed: fixtures, and the guard of the suites.

It imports nothing of ours before a test needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from spark.graphs.checkpoint.storage import CheckpointBackend
    from spark_testing.clock import FakeClock
    from spark_testing.faults import FaultyBackend

pytest.register_assert_rewrite(
    "spark_testing.suites.backends",
    "spark_testing.suites.executors",
    "spark_testing.suites.formats",
    "spark_testing.suites.triggers",
    "spark_testing.suites.retentions",
    "spark_testing.suites.rules",
    "spark_testing.leaks",
)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Have the suites guarded, if there are any."""
    if "spark_testing.suites.conformance" not in sys.modules:
        return (yield)
    from spark_testing.guard import Guard

    guard = Guard.of(session, items)
    config.pluginmanager.register(guard)
    result = yield
    items += guard.complaints(session)
    return result


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a project choose the store that its graphs are tested on."""
    parser.addini(
        "spark_store",
        "the URL or name of the store that the fixture spark_store opens; {directory} stands for an empty directory",
        default="memory",
    )


@pytest.fixture
def spark_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CheckpointBackend]:
    """A new, empty checkpoint store, of the kind that the setting ``spark_store`` names; closed after the test."""
    import asyncio

    from spark.graphs.checkpoint import open_backend

    url = str(request.config.getini("spark_store"))
    backend: CheckpointBackend = open_backend(url.replace("{directory}", str(tmp_path / "spark_store")))
    yield backend
    loop = asyncio.new_event_loop()  # backends serve one event loop after another, and the test's own may be closed
    try:
        loop.run_until_complete(backend.close())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


@pytest.fixture
def faulty_store(spark_store: CheckpointBackend) -> FaultyBackend:
    """The store of ``spark_store``, with faults on demand."""
    from spark_testing.faults import FaultyBackend

    return FaultyBackend(spark_store)


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock for ``Graph(clock=…)`` that stands still until the test moves it."""
    from spark_testing.clock import FakeClock

    return FakeClock()
