"""The file backend: the promise of ``CheckpointBackend``, kept with a directory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from spark.graphs.checkpoint.storage import CheckpointBackend, SmallIO, run_blocking, split_inline_io
from spark_backend_file.directory import CheckpointDirectory
from spark_backend_file.locations import directory_of, files_at
from spark_backend_file.remote import RemoteDirectory
from spark_backend_file.waiting import DEFAULT
from spark_backend_file.worker import Worker

if TYPE_CHECKING:
    from spark.graphs.checkpoint.storage import (
        CheckpointInfo,
        CheckpointSerializer,
        Format,
        Listing,
        ReadLimits,
        Record,
    )

Names: TypeAlias = list[str]
Sequences: TypeAlias = list[int]


class FileCheckpointBackend(CheckpointBackend):
    """Keeps checkpoints as files, one for each, in a folder per graph.

    :param directory: where; made when the first checkpoint is saved. A path, or a URL of fsspec such as
        ``sftp://host/folder``, where less is promised: see docs/file-backend.md.
    :param format: how the payload is written.
    :param compression: True or ``"gzip"`` to compress it, or ``"zstd"``, which is faster and needs ``spark-graphs[zstd]``.
    :param pretty_print: indent it, where the format is readable.
    :param serializer: turns objects of your own into plain values and back.
    :param limits: what loading one checkpoint may cost beyond what its size accounts for.
    :param inline_io: whether the event loop's thread may make small saves itself while the disk is fast; docs/file-backend.md
        says for how long that may hold up the loop. False: all I/O runs in other threads, as it does behind a URL of fsspec.
    :param storage_options: what fsspec hands to the filesystem behind a URL: credentials, timeouts.
    :param lock_timeout: seconds that a call waits for a lock of another process, which may have been stopped. Behind a URL of
        fsspec, where calls wait for each other's transfers, ten times as long.
    """

    name = "file"

    def __init__(
        self,
        directory: str | os.PathLike[str],
        format: str | Format = "json",
        compression: bool | str = False,
        pretty_print: bool = False,
        serializer: CheckpointSerializer | None = None,
        *,
        limits: ReadLimits | Mapping[str, int] | None = None,
        inline_io: bool = True,
        storage_options: Mapping[str, Any] | None = None,
        lock_timeout: float = DEFAULT,
    ) -> None:
        super().__init__(
            format=format,
            compression=compression,
            pretty_print=pretty_print,
            serializer=serializer,
            limits=limits,
            inline_io=inline_io,
        )
        self._files = files_at(directory, storage_options)
        self._local = self._files if isinstance(self._files, CheckpointDirectory) else None
        # Elsewhere a record is all that is written at once, so it holds everything.
        self.keeps_blobs: bool = self._local is not None
        self.directory: str = self._files.path
        self._worker = Worker("file backend", patience=_checked(lock_timeout) * (1 if self._local else 10))
        self._saves = SmallIO(inline_io, run_in_thread=self._worker.run, limits=self.inline_limits)
        """On a disk of this machine."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The backend of the directory that ``file:///path`` names, or of a folder behind another URL of fsspec.

        A query may say ``inline_io=false``.

        :raises ValueError: a ``file:`` URL names a host, holds another query, or no absolute path; or nobody can write there.
        """
        address, common = split_inline_io(url)
        return cls(directory_of(address), **common | options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.directory!r})"

    async def put(self, record: Record) -> None:
        await self.put_and_delete(record, ())

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> Sequences:
        if self._local is None:
            await self._worker.run(self._files.put, record)
            return []
        self._worker.check_open()
        save = partial(self._local.put, record, to_delete, blobs, release=self._worker.release)
        return await self._saves.run(save, nbytes=record.nbytes, graph_id=record.graph_id)

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        return await self._worker.run(self._files.get, graph_id, sequence)

    async def list(self, graph_id: str | None = None) -> Listing:
        return await self._worker.run(self._files.listing, graph_id)

    async def latest(self, graph_id: str) -> CheckpointInfo | None:
        return await self._worker.run(self._files.latest, graph_id)

    async def get_latest(self, graph_id: str) -> Record | None:
        if self._local:
            return await self._worker.run(self._local.get_latest, graph_id)
        return await super().get_latest(graph_id)

    async def next_sequence(self, graph_id: str) -> int:
        return await self._worker.run(self._files.next_sequence, graph_id)

    async def delete(self, graph_id: str, sequence: int) -> bool:
        return await self._worker.run(self._files.delete, graph_id, sequence)

    async def forget(self, graph_id: str) -> Sequences:
        return await self._worker.run(self._files.forget, graph_id)

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        return await self._worker.run(self._local.get_blobs, graph_id, names) if self._local else {}

    async def delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:
        if self._local:
            await self._worker.run(self._local.delete_blobs, graph_id, names)

    async def blob_names(self, graph_id: str) -> Names:
        return await self._worker.run(self._local.blob_names, graph_id) if self._local else []

    async def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        return await self._worker.run(self._files.find, checkpoint_id)

    async def leftovers(self, *, remove: bool = False) -> Names:
        return await self._worker.run(self._files.leftovers, remove)

    async def close(self) -> None:
        await self._worker.close()
        if isinstance(self._files, RemoteDirectory):
            await run_blocking(self._files.close)


def _checked(lock_timeout: float) -> float:
    if isinstance(lock_timeout, bool) or not isinstance(lock_timeout, int | float) or not 0 < lock_timeout < inf:
        raise ValueError(f"The lock_timeout of the file backend can't be {lock_timeout!r}; give seconds, more than 0.")
    return float(lock_timeout)
