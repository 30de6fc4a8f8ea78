"""The file backend: the promise of ``CheckpointBackend``, kept with a directory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from spark.graphs.checkpoint.storage import CheckpointBackend, SmallIO, run_blocking, split_options
from spark_backend_file.locations import directory_at, directory_of
from spark_backend_file.threads import LOCK_TIMEOUT, BackendThreads

if TYPE_CHECKING:
    from spark.graphs.checkpoint.storage import (
        CheckpointInfo,
        CheckpointQuery,
        CheckpointSerializer,
        Chosen,
        Codec,
        Format,
        LatestHeaders,
        Listing,
        ReadLimits,
        Record,
        Records,
        Usage,
    )

Names: TypeAlias = list[str]
Sequences: TypeAlias = list[int]


class FileCheckpointBackend(CheckpointBackend):
    """Keeps checkpoints as files, one for each, in a folder per graph.

    :param directory: the folder; created when the first checkpoint is saved. A path, or a URL of fsspec such as
        ``sftp://host/folder``, where less is promised: see docs/file-backend.md.
    :param format: how the payload is written.
    :param compression: True or ``"gzip"`` to compress it, or ``"zstd"``, which is faster and needs ``spark-graphs[zstd]``.
    :param pretty_print: indent it, where the format is readable.
    :param codec: transforms stored bytes, such as by encryption: a ``Codec``, a name, ``{name: options}``, or a list of these.
    :param serializer: converts your own objects to plain values and back.
    :param limits: what loading one checkpoint may cost beyond what its size accounts for.
    :param inline_io: whether the event loop's thread may make small saves itself while the disk is fast; docs/file-backend.md
        says for how long that may block the loop. False: all I/O runs in other threads, as it does behind a URL of fsspec.
    :param create: whether a missing directory is created. If False, all calls raise ``StoreNotFoundError`` instead.
    :param storage_options: what fsspec hands to the filesystem behind a URL: credentials, timeouts.
    :param lock_timeout: seconds that a call waits for a lock of another process, which may have been stopped. Behind a URL of
        fsspec, where calls wait for each other's transfers, ten times as long.
    """

    name = "file"
    keeps_blobs = True
    blob_cost: int = 128 * 1024

    def __init__(
        self,
        directory: str | os.PathLike[str],
        format: Chosen[Format] = "json",
        compression: bool | str = False,
        pretty_print: bool = False,
        serializer: Chosen[CheckpointSerializer] | None = None,
        *,
        codec: Chosen[Codec] | Sequence[Chosen[Codec]] | None = None,
        limits: ReadLimits | Mapping[str, int] | None = None,
        inline_io: bool = True,
        create: bool = True,
        storage_options: Mapping[str, Any] | None = None,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> None:
        super().__init__(
            format=format,
            compression=compression,
            pretty_print=pretty_print,
            codec=codec,
            serializer=serializer,
            limits=limits,
            inline_io=inline_io,
            create=create,
        )
        self._graphs = directory_at(directory, storage_options)
        self._graphs.creates = create
        is_local = self._graphs.is_local
        if not is_local:
            self.blob_cost = CheckpointBackend.blob_cost  # each takes a trip to a server
        self.directory: str = self._graphs.path
        self._threads = BackendThreads("file backend", lock_timeout=_checked(lock_timeout) * (1 if is_local else 10))
        self._saves = SmallIO(inline_io and is_local, run_in_thread=self._threads.run, limits=self.inline_limits)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The backend of the directory that ``file:///path`` names, or of a folder behind another URL of fsspec.

        A query may have the options of every backend: ``format``, ``compression``, ``inline_io`` and so on.

        :raises ValueError: a ``file:`` URL names a host, holds another query, or no absolute path; or a filesystem is read-only.
        """
        address, common = split_options(url)
        return cls(directory_of(address), **common | options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.directory!r})"

    async def put(self, record: Record) -> None:
        await self.put_and_delete(record, ())

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> Sequences:
        self._threads.check_open()
        save = partial(self._graphs.put, record, to_delete, blobs, close_file=self._threads.close_file)
        return await self._saves.run(save, nbytes=record.nbytes, graph_id=record.graph_id)

    async def next_sequence(self, graph_id: str) -> int:
        return await self._threads.run(self._graphs.next_sequence, graph_id)

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        return await self._threads.run(self._graphs.get, graph_id, sequence)

    async def latest(self, graph_id: str) -> CheckpointInfo | None:
        return await self._threads.run(self._graphs.latest, graph_id)

    async def get_latest(self, graph_id: str) -> Record | None:
        return await self._threads.run(self._graphs.get_latest, graph_id)

    async def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        return await self._threads.run(self._graphs.find, checkpoint_id)

    async def get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
        return await self._threads.run(self._graphs.get_many, graph_id, sequences)

    async def latest_headers(self, graph_ids: Sequence[str]) -> LatestHeaders:
        return await self._threads.run(self._graphs.latest_headers, graph_ids)

    async def list(self, graph_id: str | None = None) -> Listing:
        return await self._threads.run(self._graphs.listing, graph_id)

    async def usage(self, graph_ids: Sequence[str] | None = None) -> dict[str, Usage]:
        return await self._threads.run(self._graphs.usage, graph_ids)

    async def query(self, query: CheckpointQuery) -> Listing:
        if not (query.metadata or query.with_metadata):
            return await super().query(query)
        return await self._threads.run(self._graphs.search, query)

    async def graph_ids(self, prefix: str = "", *, after: str | None = None, limit: int | None = None) -> Names:
        return await self._threads.run(self._graphs.graph_ids, prefix, after, limit)

    async def delete(self, graph_id: str, sequence: int) -> bool:
        return await self._threads.run(self._graphs.delete, graph_id, sequence)

    async def forget(self, graph_id: str) -> Sequences:
        return await self._threads.run(self._graphs.forget, graph_id)

    async def forget_empty(self, prefix: str, *, older_than: timedelta) -> int:
        return await self._threads.run(self._graphs.forget_empty, prefix, older_than)

    async def put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> bool:
        await self._threads.run(self._graphs.put_blobs, graph_id, blobs)
        return True

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        return await self._threads.run(self._graphs.get_blobs, graph_id, names)

    async def blob_names(self, graph_id: str) -> Names:
        return await self._threads.run(self._graphs.blob_names, graph_id)

    async def delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:
        await self._threads.run(self._graphs.delete_blobs, graph_id, names)

    async def leftovers(self, *, remove: bool = False) -> Names:
        return await self._threads.run(self._graphs.leftovers, remove)

    async def close(self) -> None:
        await self._threads.close()
        if not self._graphs.is_local:
            await run_blocking(self._graphs.close)


def _checked(lock_timeout: float) -> float:
    if isinstance(lock_timeout, bool) or not isinstance(lock_timeout, int | float) or not 0 < lock_timeout < inf:
        raise ValueError(f"The lock_timeout of the file backend can't be {lock_timeout!r}; give seconds, more than 0.")
    return float(lock_timeout)
