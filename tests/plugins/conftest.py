"""The servers that tests of the backends share, and which suites run in part by default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.plugins.support.mariadb_servers import MariadbServer
    from tests.plugins.support.sftp_servers import SftpServer


FEW: Final = (
    "TestOnTheMemoryFilesystem",
    "TestOverSftp",
    "TestOnAFilesystemThatNobodyKnows",
    "TestPostgresql",
    "TestS3Backend",
)
"""Of each part of these suites one test runs by default. The others ask the same of nearly the same code, which runs whole on
local files, or on SQLite. S3 takes seven times as long as files; what only it has is tested in ``s3/``, always."""
WITH_FEW_IDS: Final = ("TestSqlite",)
"""By default these suites try two hostile ids one by one. They try all together in any case, and files try each."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to `make test-rest` what is slow there and the same elsewhere."""
    met = Counter[tuple[str, str]]()
    for item in items:
        if not isinstance(item, pytest.Function) or item.cls is None:
            continue
        suite = item.cls.__name__
        if suite in FEW:
            part, most = item.function.__qualname__.partition(".")[0], 1
        elif suite in WITH_FEW_IDS and "hostile" in item.fixturenames:
            part, most = item.originalname, 2
        else:
            continue
        met[suite, part] += 1
        if met[suite, part] > most:
            item.add_marker(pytest.mark.thorough)


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
