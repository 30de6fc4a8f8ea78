"""File backends that are wrong on purpose: a crash harness that accepts one of them proves nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from spark.graphs.checkpoint import Record
from spark_backend_file import FileCheckpointBackend
from spark_backend_file.framing import frame
from spark_backend_file.names import quote, record_name


class AcknowledgesEarly(FileCheckpointBackend):
    """Returns from ``put`` while the record is still being written."""

    async def put(self, record: Record) -> None:
        threading.Timer(0.005, _write_whole, [_path_of(self, record), frame(record)]).start()


class WritesInPlace(FileCheckpointBackend):
    """Writes the record under its final name, bit by bit, so that a reader may see half of it."""

    async def put(self, record: Record) -> None:
        path, content = _path_of(self, record), frame(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(content), 64):
                file.write(content[start : start + 64])


class DropsSome(FileCheckpointBackend):
    """Acknowledges every seventh record without writing it."""

    async def put(self, record: Record) -> None:
        if record.header.sequence % 7:
            await super().put(record)


def _path_of(backend: FileCheckpointBackend, record: Record) -> Path:
    return Path(os.fspath(backend.directory)) / quote(record.header.graph_id) / record_name(record.header.sequence)


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
