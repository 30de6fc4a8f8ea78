"""File backends under which the core itself is wrong on purpose: mistakes with chunks that a harness has to find."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spark.graphs.checkpoint.encoding.chunk import Key
from spark.graphs.checkpoint.encoding.chunked import ChunkedMapping
from spark.graphs.checkpoint.encoding.places import Place
from spark.graphs.checkpoint.encoding.section_encoder import _ChunkWriter
from spark.graphs.checkpoint.maintenance import garbage
from spark.graphs.checkpoint.recording.blob_tracker import BlobTracker
from spark.graphs.checkpoint.storage import Record
from spark_backend_file import FileCheckpointBackend


class Wrong(FileCheckpointBackend):
    """Plants its mistake when it is made, in a process that nothing else runs in."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.plant()

    def plant(self) -> None:
        """Make the mistake."""


class RetiresTooEarly(Wrong):
    """Deletes a chunk that was merged although checkpoints that are kept refer to it."""

    def plant(self) -> None:
        right = BlobTracker.unreferenced

        def unreferenced(self: BlobTracker, kept: Sequence[int], *, retired: Iterable[str], until: int) -> list[str]:
            return right(self, [], retired=retired, until=until)

        BlobTracker.unreferenced = unreferenced  # type: ignore[method-assign]


class KeepsReferences(Wrong):
    """Gives up the oldest chunk whenever there is a new one, and goes on referring to it."""

    def plant(self) -> None:
        right = ChunkedMapping._write

        def write(self: ChunkedMapping, *arguments: Any) -> None:
            self._retired([*self.chunks][:1])
            right(self, *arguments)

        ChunkedMapping._write = write  # type: ignore[method-assign]


class ForgetsRemoved(Wrong):
    """Does not remember removed keys beyond the tail, so that older chunks bring them back."""

    def plant(self) -> None:
        right = ChunkedMapping._still_needed

        def still_needed(self: ChunkedMapping, *arguments: Any) -> list[Key]:
            for key in right(self, *arguments):
                self._forget_removed(key)
            return []

        ChunkedMapping._still_needed = still_needed  # type: ignore[method-assign]


class LosesOneOfMany(Wrong):
    """Leaves the last item of a chunk out."""

    def plant(self) -> None:
        right = _ChunkWriter.store

        def store(
            self: _ChunkWriter, items: Mapping[Key, bytes], *, places: Sequence[Place], removed: Sequence[Key]
        ) -> tuple[str, object]:
            few = dict([*items.items()][:-1] or items.items())
            return right(self, few, places=places[: len(few)], removed=removed)

        _ChunkWriter.store = store  # type: ignore[method-assign]


class CollectsWhatIsBeingWritten(Wrong):
    """Takes every large value that no checkpoint refers to for garbage, also those of a record to come."""

    def plant(self) -> None:
        garbage.garbage = lambda names, *, latest: [*names]


class DeletesChunksFirst(FileCheckpointBackend):
    """Makes room before it saves: a kill between the two takes what the latest checkpoint needs."""

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> list[int]:
        await self.delete_blobs(record.graph_id, blobs)
        if blobs:
            await asyncio.sleep(0.03)  # so that kills find the gap
        return await super().put_and_delete(record, to_delete, blobs)


class MixesWriters(FileCheckpointBackend):
    """Stores large values under names that don't tell who wrote them, so that the next writer replaces those of the last one."""

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> list[int]:
        renamed = record.with_blobs({_shared(name): content for name, content in record.blobs.items()})
        return await super().put_and_delete(renamed, to_delete, [*map(_shared, blobs)])

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        found: Mapping[str, bytes] = await super().get_blobs(graph_id, [*map(_shared, names)])
        return {name: found[_shared(name)] for name in names if _shared(name) in found}


def _shared(name: str) -> str:
    return f"{int(name[:12]) % 50:012d}-{name.rpartition('-')[2]}"
