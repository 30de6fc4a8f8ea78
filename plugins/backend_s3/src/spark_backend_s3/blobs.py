"""Large values: each an object of its own, there before the record that refers to it.

A name is used once, ever, and what is written under it never changes, so these objects need no conditions. What a killed
save leaves behind is removed with other orphans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import is_blob_name
from spark_backend_s3.calls import in_parallel
from spark_backend_s3.names import Keys, quote
from spark_backend_s3.objects import LARGEST, Objects

Names: TypeAlias = list[str]


class Blobs:
    """The large values of all graphs in one store."""

    def __init__(self, objects: Objects, keys: Keys) -> None:
        self._objects = objects
        self._keys = keys

    async def add(self, graph_id: str, blobs: Mapping[str, bytes], *, action: str) -> None:
        """Store large values; all are durable when this returns."""
        for name, content in blobs.items():
            if len(content) > LARGEST:
                raise BackendError(
                    f"The s3 backend can't {action}: its large value {name!r} takes {len(content):,} bytes, and S3 takes "
                    f"{LARGEST:,} in one PUT. Keep it outside of the state, or compress. Nothing was written."
                )

        async def write(blob: tuple[str, bytes]) -> None:
            await self._objects.write(self._key(graph_id, blob[0]), blob[1], action=action)

        await in_parallel(write, blobs.items())

    async def read(self, graph_id: str, names: Sequence[str], *, action: str) -> dict[str, bytes]:
        """Name to content of those that are there."""
        possible = _possible(names)

        async def read_one(name: str) -> bytes | None:
            content = await self._objects.read(self._key(graph_id, name), action=action)
            return None if content is None else content.data

        contents = await in_parallel(read_one, possible)
        return {name: data for name, data in zip(possible, contents, strict=True) if data is not None}

    async def names(self, graph_id: str, *, action: str) -> Names:
        """The names of all."""
        prefix = self._keys.blobs(quote(graph_id))
        return _possible([key.removeprefix(prefix) for key in await self._objects.all_keys(prefix, action=action)])

    async def nbytes(self, graph_id: str, *, action: str) -> int:
        """How many bytes all of a graph take up, as they are listed."""
        prefix, size, more = self._keys.blobs(quote(graph_id)), 0, None
        while True:
            page = await self._objects.page(prefix, action=action, more=more)
            size += sum(found.size for found in page.objects)
            if (more := page.more) is None:
                return size

    async def remove(self, graph_id: str, names: Sequence[str], *, action: str) -> None:
        """Remove those that are there."""
        keys = [self._key(graph_id, name) for name in _possible(names)]
        refused = await self._objects.remove(keys, action=action)
        for code in refused.values():
            raise self._objects.refusal(action, code)

    def _key(self, graph_id: str, name: str) -> str:
        return self._keys.blobs(quote(graph_id)) + name


def _possible(names: Sequence[str]) -> Names:
    # Names come from records, and so from whoever may write to the store: none may lead elsewhere.
    return [name for name in names if is_blob_name(name)]
