"""The SFTP server that tests of the file backend share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugins.support.sftp_servers import SftpServer


@pytest.fixture(scope="session")
def sftp_server() -> Iterator[SftpServer]:
    """A server on loopback, one for each test process."""
    from tests.plugins.support.sftp_servers import running_sftp_server

    yield from running_sftp_server()
