"""The file backend keeps the promise of backends on filesystems that fsspec speaks to, as far as each of them can."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from spark.errors import BackendError, CheckpointDamagedError, SequenceTakenError
from spark.hooks import open_backend
from spark_backend_file import FileCheckpointBackend
from tests.contract.backend_contract import HOSTILE_IDS, BackendContract, ReadRaw
from tests.contract.records import make_record
from tests.plugins.file_faults import run_in_child
from tests.plugins.sftp_servers import SftpServer, running_sftp_server

QUICK = {"look_for_keys": False, "allow_agent": False}
"""The password is all that the server asks for."""


@pytest.fixture(scope="module")
def sftp_server() -> Iterator[SftpServer]:
    yield from running_sftp_server()


def sftp_backend(server: SftpServer, folder: Path) -> FileCheckpointBackend:
    return FileCheckpointBackend(server.url(folder), storage_options=QUICK)


def threads_left() -> list[str]:
    """Those of the backend and of paramiko."""
    return [thread.name for thread in threading.enumerate() if re.match(r"file-backend|Thread-\d+$", thread.name)]


class TestOnTheMemoryFilesystem(BackendContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[FileCheckpointBackend]:
        url = f"memory://{uuid4().hex}"
        async with FileCheckpointBackend(url) as backend:
            yield backend
        fsspec.filesystem("memory").rm(url, recursive=True) if fsspec.filesystem("memory").exists(url) else None
        assert threads_left() == []

    @pytest.fixture
    def read_raw(self, backend: FileCheckpointBackend) -> ReadRaw:
        def read(graph_id: str, sequence: int) -> bytes | None:
            path = f"{backend.directory}/{graph_id}/{sequence:012d}.ckpt"
            memory = fsspec.filesystem("memory")
            return memory.cat_file(path) if memory.exists(path) else None

        return read


class TestOnAFilesystemThatNobodyKnows(BackendContract):
    """Local files behind fsspec's ``dir``: written to a temporary name and moved, as wherever nothing better is known."""

    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
        async with FileCheckpointBackend(f"dir::file://{tmp_path}/store") as backend:
            yield backend
        assert threads_left() == []

    @pytest.fixture
    def read_raw(self, tmp_path: Path) -> ReadRaw:
        return lambda graph_id, sequence: read_local(tmp_path / "store", graph_id, sequence)


class TestOverSftp(BackendContract):
    # Each test makes a connection; of what is tried with every hostile id, one test is enough here.
    test_any_graph_id_is_only_a_name = None
    test_any_checkpoint_id_is_only_a_name = None

    @pytest.fixture
    async def backend(self, sftp_server: SftpServer, tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
        async with sftp_backend(sftp_server, tmp_path / "a" / "store") as backend:
            yield backend
        assert threads_left() == []

    @pytest.fixture
    def read_raw(self, tmp_path: Path) -> ReadRaw:
        return lambda graph_id, sequence: read_local(tmp_path / "a" / "store", graph_id, sequence)


def read_local(store: Path, graph_id: str, sequence: int) -> bytes | None:
    file = store / graph_id / f"{sequence:012d}.ckpt"
    return file.read_bytes() if file.exists() else None
