"""Stores that tests of the file backend put on filesystems of fsspec, and look into from behind."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import fsspec

from spark_backend_file import FileCheckpointBackend
from tests.plugins.support.sftp_servers import SftpServer

QUICK = {"look_for_keys": False, "allow_agent": False}
"""The password is all that the server asks for."""


def sftp_backend(server: SftpServer, folder: Path) -> FileCheckpointBackend:
    """A backend of a folder of this machine, seen through the server."""
    return FileCheckpointBackend(server.url(folder), storage_options=QUICK)


def remove_from_memory(url: str) -> None:
    """Remove what a test left in fsspec's memory filesystem."""
    with suppress(FileNotFoundError):
        fsspec.filesystem("memory").rm(url, recursive=True)


def read_local(store: Path, graph_id: str, sequence: int) -> bytes | None:
    """All that is stored of a record, or None."""
    file = store / graph_id / f"{sequence:012d}.ckpt"
    return file.read_bytes() if file.exists() else None


def spoil_local(store: Path, graph_id: str, sequence: int) -> None:
    """Write something else over all that is stored of a record."""
    (store / graph_id / f"{sequence:012d}.ckpt").write_bytes(b"something else")
