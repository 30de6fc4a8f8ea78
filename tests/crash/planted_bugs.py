"""File backends that are wrong on purpose: a crash harness that accepts one of them proves nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spark.graphs.checkpoint.records.blobs import birth
from spark.graphs.checkpoint.storage import Record, frame
from spark_backend_file import FileCheckpointBackend
from spark_backend_file.local_files import write_blobs
from spark_backend_file.names import quote, record_name


class KeepsAllInRecords(FileCheckpointBackend):
    """Is right; those that write records in a way of their own need then not care for large values."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.keeps_blobs = False


class AcknowledgesEarly(KeepsAllInRecords):
    """Returns from a save while the record is still being written."""

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> list[int]:
        threading.Timer(0.005, _write_whole, [_path_of(self, record), frame(record)]).start()
        return []


class WritesInPlace(KeepsAllInRecords):
    """Writes the record under its final name, bit by bit, so that a reader may see half of it."""

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> list[int]:
        path, content = _path_of(self, record), frame(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(content), 64):
                file.write(content[start : start + 64])
        return []


class DropsSome(FileCheckpointBackend):
    """Acknowledges every seventh record without writing it."""

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> list[int]:
        return await super().put_and_delete(record, to_delete, blobs) if record.header.sequence % 7 else []


class WritesValuesLast(FileCheckpointBackend):
    """Links the record before the large values that it refers to are there."""

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> list[int]:
        deleted = await super().put_and_delete(Record(record.header, record.payload), to_delete, blobs)
        if record.blobs:
            await asyncio.sleep(0.02)  # so that kills find the gap, however busy the machine is
            folder = os.open(_path_of(self, record).parent, os.O_RDONLY)
            write_blobs(folder, record.blobs)
            os.close(folder)
        return deleted


class CollectsTooMuch(FileCheckpointBackend):
    """Removes large values with the record that they came with, whoever else refers to them."""

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> list[int]:
        deleted, graph_id = await super().put_and_delete(record, to_delete, blobs), record.graph_id
        await self.delete_blobs(graph_id, [name for name in await self.blob_names(graph_id) if birth(name) in deleted])
        return deleted


def _path_of(backend: FileCheckpointBackend, record: Record) -> Path:
    return Path(os.fspath(backend.directory)) / quote(record.header.graph_id) / record_name(record.header.sequence)


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
