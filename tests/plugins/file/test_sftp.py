"""The file backend over SFTP: the promise of backends, connections, and what OpenSSH itself makes of a rename."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pytest
from fsspec.implementations.sftp import SFTPFileSystem

from spark.errors import BackendError
from spark_backend_file import FileCheckpointBackend
from spark_backend_file.publishing import RenameOverSftp
from spark_testing import CheckpointBackendConformance, OpenAnother, ReadRaw, Spoil
from spark_testing.records import make_record
from tests.plugins.support.file_faults import run_in_child
from tests.plugins.support.remote_stores import read_local, sftp_backend, spoil_local
from tests.plugins.support.sftp_servers import SftpServer
from tests.plugins.support.threads import no_thread_left


@pytest.fixture(scope="module", autouse=True)
def _eager_client() -> Iterator[None]:
    """The client looks ten times a second whether it was closed, and sends each question about a folder fifty times at once.

    On loopback that is most of what a test takes, and none of what it is about.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paramiko.Transport, "_active_check_timeout", 0.01)
        patch.setattr(paramiko.SFTPClient.listdir_iter, "__defaults__", (".", 1))
        yield


class TestOverSftp(CheckpointBackendConformance):
    capabilities = ("persistent", "processes", "concurrent_processes", "keeps_blobs")
    lasting_threads = ("fsspecIO",)
    # Each test makes a connection.
    hostile_ids = ("../x", "é")
    random_records = 10
    kills = 1
    megabytes = 1
    many_graphs = 60
    many_blobs = 60

    @pytest.fixture
    async def backend(self, sftp_server: SftpServer, tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
        async with sftp_backend(sftp_server, tmp_path / "a" / "store") as backend:
            yield backend

    @pytest.fixture
    def open_another(self, sftp_server: SftpServer, tmp_path: Path) -> OpenAnother:
        return lambda: sftp_backend(sftp_server, tmp_path / "a" / "store")

    @pytest.fixture
    def read_raw(self, tmp_path: Path) -> ReadRaw:
        return lambda graph_id, sequence: read_local(tmp_path / "a" / "store", graph_id, sequence)

    @pytest.fixture
    def spoil(self, tmp_path: Path) -> Spoil:
        return lambda graph_id, sequence: spoil_local(tmp_path / "a" / "store", graph_id, sequence)


# connections


async def test_a_connection_that_was_lost_is_made_again(sftp_server: SftpServer, tmp_path: Path) -> None:
    """The call that meets the dead one fails, and says so; the next one works."""
    async with sftp_backend(sftp_server, tmp_path) as backend:
        await backend.put(make_record("g", 1))
        sftp_server.hang_up()

        with pytest.raises(BackendError, match="Check the server"):
            await backend.list()
        assert [info.sequence for info in (await backend.list()).infos] == [1]


async def test_an_upload_that_is_cut_off_leaves_no_checkpoint(sftp_server: SftpServer, tmp_path: Path) -> None:
    async with sftp_backend(sftp_server, tmp_path) as backend:
        saving = asyncio.create_task(backend.put(make_record(payload=b"x" * 30_000_000)))
        async with asyncio.timeout(20):
            while not any(tmp_path.glob("g/.tmp-*")):  # noqa: ASYNC110 - the server is another process
                await asyncio.sleep(0)
        sftp_server.hang_up()
        with pytest.raises(BackendError):
            await saving

        assert (await backend.list()).infos == []
        assert await backend.next_sequence("g") == 1
        await backend.put(make_record())
        assert await backend.get("g", 1) is not None


async def test_closing_ends_connections_and_threads(sftp_server: SftpServer, tmp_path: Path) -> None:
    with no_thread_left():
        backend = sftp_backend(sftp_server, tmp_path)
        await backend.list()
        assert sftp_server.connections() == 1

        await backend.close()

    async with asyncio.timeout(60):
        while sftp_server.connections():  # noqa: ASYNC110 - the server is another process
            await asyncio.sleep(0)
    with pytest.raises(BackendError, match="is closed"):
        await backend.list()


def test_a_fork_makes_a_connection_of_its_own(sftp_server: SftpServer, tmp_path: Path) -> None:
    """Two processes on one connection would read each other's answers."""
    backend = sftp_backend(sftp_server, tmp_path)
    asyncio.run(backend.put(make_record("g", 1)))

    told = run_in_child(lambda: asyncio.run(asyncio.wait_for(backend.put(make_record("g", 2)), 60)))

    assert told == "None"
    assert len(asyncio.run(backend.list()).infos) == 2
    asyncio.run(backend.close())


# OpenSSH

SFTP_SERVER = next(
    filter(
        os.path.exists, ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server")
    ),
    os.environ.get("SFTP_SERVER"),
)


class Pipe(socket.socket):
    """What paramiko asks of a channel, beyond a socket."""

    def get_name(self) -> str:
        return "pipe"


class PipedSftp(SFTPFileSystem):
    """The same client on a server process of its own, without SSH between."""

    protocol = "piped-sftp"
    cachable = False

    def _connect(self) -> None:
        pair, theirs = socket.socketpair()
        self.server = subprocess.Popen([str(SFTP_SERVER)], stdin=theirs, stdout=theirs)
        theirs.close()
        self.ftp = paramiko.SFTPClient(Pipe(fileno=pair.detach()))

    def stop(self) -> None:
        """End the server."""
        self.ftp.sock.close()
        self.server.wait(60)


@pytest.mark.skipif(SFTP_SERVER is None, reason="needs OpenSSH's sftp-server: apt install openssh-sftp-server")
def test_openssh_lets_one_of_many_writers_win(tmp_path: Path) -> None:
    """Each has a server process of its own, so nothing but the rename stands between them."""
    writers = [PipedSftp("localhost") for _ in range(4)]
    contents = [f"content of {number}".encode() for number in range(4)]

    def publish(writer: PipedSftp, content: bytes, name: str, start: threading.Barrier) -> bytes | None:
        start.wait(60)
        try:
            RenameOverSftp().publish(writer, str(tmp_path), name, content)
        except FileExistsError:
            return None
        return content

    with ThreadPoolExecutor(4) as threads:
        for number in range(50):
            start = threading.Barrier(4)
            told = threads.map(publish, writers, contents, [str(number)] * 4, [start] * 4)
            (winner,) = filter(None, told)
            assert (tmp_path / str(number)).read_bytes() == winner
    for writer in writers:
        writer.stop()

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(map(str, range(50)))
