"""S3 backends that are wrong on purpose: a harness that accepts one of them proves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spark.errors import BackendError, SequenceTakenError
from spark.graphs.checkpoint.storage import Record, RecordHeader
from spark_backend_s3 import S3CheckpointBackend
from spark_backend_s3.objects import _ConditionFailed


class TakesARefusalForSuccess(S3CheckpointBackend):
    """Returns from ``put`` as if it had written, where the store says that there is an object already."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._writer._own_etag = self._accept  # type: ignore[method-assign]

    async def _accept(self, name: str, header: RecordHeader, *, action: str) -> str:
        return "an etag"


class ForgetsWhatItWrote(S3CheckpointBackend):
    """Calls every record that is in the way another's, also its own whose acknowledgement was lost."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._writer._own_etag = self._refuse  # type: ignore[method-assign]

    async def _refuse(self, name: str, header: RecordHeader, *, action: str) -> str:
        raise SequenceTakenError(f"Sequence {header.sequence} is in use.")


class ForgetsTheFloor(S3CheckpointBackend):
    """Does not look, neither before nor after, whether a place that it finds free had been used and given up."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._writer._check_unused = self._trust  # type: ignore[method-assign]
        self._writer._check_not_deleted = self._trust  # type: ignore[method-assign]

    async def _trust(self, *arguments: Any, **options: Any) -> None:
        return None


class OverwritesWhenInDoubt(S3CheckpointBackend):
    """Leaves out the condition, and so overwrites what is there."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._create, self._objects.create = self._objects.create, self._overwrite  # type: ignore[method-assign]

    async def _overwrite(self, key: str, content: bytes, *, action: str, **options: Any) -> str | None:
        if key.endswith(".ckpt"):
            return await self._objects.write(key, content, action=action)
        return await self._create(key, content, action=action, **options)


class SharesLargeValues(S3CheckpointBackend):
    """Stores large values under names that don't tell who wrote them, so that a loser overwrites those of the winner."""

    async def put(self, record: Record) -> None:
        await super().put(record.with_blobs({_shared(name): content for name, content in record.blobs.items()}))

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        found = await super().get_blobs(graph_id, [*map(_shared, names)])
        return {name: found[_shared(name)] for name in names if _shared(name) in found}


class HidesFailures(S3CheckpointBackend):
    """Acknowledges a record that the store did not take."""

    async def put(self, record: Record) -> None:
        try:
            await super().put(record)
        except BackendError:
            return


class TellsTooFewDeletions(S3CheckpointBackend):
    """Takes its own deletion, whose acknowledgement was lost, for another's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._objects.empty = self._empty  # type: ignore[method-assign]

    async def _empty(self, key: str, *, etag: str, action: str) -> bool:
        try:
            await self._objects._put(key, b"", action=action, IfMatch=etag)
        except _ConditionFailed:
            return False
        return True


def _shared(name: str) -> str:
    sequence, _, count = name.split("-")
    return f"{sequence}-{count}"
