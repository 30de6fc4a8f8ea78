"""What the tests of several plugins share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugins.sql_servers import PostgresServer, running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, one for each test process."""
    yield from running_server()
