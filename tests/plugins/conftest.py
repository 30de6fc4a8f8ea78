"""The servers that tests of the backends share, and which suites run in part by default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.plugins.support.mariadb_servers import MariadbServer
    from tests.plugins.support.sftp_servers import SftpServer


FEW: Final = ("TestOverSftp", "TestOnAFilesystemThatNobodyKnows", "TestPostgresql", "TestS3Backend")
"""Of each part of these suites one test runs by default. The others ask the same of nearly the same code, which runs whole on
another filesystem, or on SQLite. S3 takes seven times as long as files; what only it has is tested in ``s3/``, always."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to `make test-rest` what is slow there and the same elsewhere."""
    met: set[tuple[str, str]] = set()
    for item in items:
        suite = getattr(item.cls, "__name__", "") if isinstance(item, pytest.Function) else ""
        if isinstance(item, pytest.Function) and suite in FEW:
            part = item.function.__qualname__.partition(".")[0]
            if (suite, part) in met:
                item.add_marker(pytest.mark.thorough)
            met.add((suite, part))


@pytest.fixture(scope="session")
def sftp_server() -> Iterator[SftpServer]:
    """A server on loopback, one for each test process."""
    from tests.plugins.support.sftp_servers import running_sftp_server

    yield from running_sftp_server()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariadbServer]:
    """A MariaDB server, one for each test process."""
    from tests.plugins.support.mariadb_servers import NEEDED, is_installed, running_mariadb

    if not is_installed():
        pytest.skip(NEEDED)
    with running_mariadb() as server:
        yield server
