"""How a record is written, so that a sequence is used once. Why this is so: docs/decisions/s3-backend.md.

A record is one object, made by one conditional PUT. The rest is about sequences whose records were deleted, where the PUT
would succeed. ``deleter.py`` sees to it that a *marker* at or above such a place says so, and that places are kept occupied
for longer than the *window*: a writer looks before its PUT, unless it has looked within the window, and may then trust the
PUT. One that was held up so long that the window is over looks for the marker once more, after the PUT.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import timedelta
from typing import Final

from spark.errors import BackendError, CheckpointDamagedError, SequenceTakenError
from spark.graphs.checkpoint.storage import Record, RecordHeader, frame
from spark_backend_s3.blobs import Blobs
from spark_backend_s3.errors import is_passing
from spark_backend_s3.location import Location
from spark_backend_s3.names import Keys, quote
from spark_backend_s3.objects import LARGEST, Objects
from spark_backend_s3.records import RecordObjects
from spark_backend_s3.view_cache import ViewCache, keep

_REMEMBERED: Final = 10_000
_DELETED: Final = "was used before and its checkpoint, or a later one, has been deleted"
_PROVEN: Final[set[tuple[str, str]]] = set()
"""Endpoint and bucket of the stores that were found to honour conditional writes, in this process."""


class RecordWriter:
    """Writes records into the histories of all graphs in one store, for one process."""

    def __init__(
        self,
        objects: Objects,
        keys: Keys,
        location: Location,
        *,
        records: RecordObjects,
        blobs: Blobs,
        views: ViewCache,
        is_single_writer: bool,
    ) -> None:
        self._objects = objects
        self._keys = keys
        self._location = location
        self._records = records
        self._blobs = blobs
        self._views = views
        self._is_single_writer = is_single_writer
        self._acknowledged: OrderedDict[str, None] = OrderedDict()
        """The nonces of records whose writing was reported as done."""

    async def put(self, record: Record, *, action: str, cancelled: asyncio.Event) -> None:
        """Store a record in one act.

        :param cancelled: set when the caller was cancelled: then nothing is tried again.
        :raises SequenceTakenError: its sequence is or was in use.
        """
        try:
            await self._put(record, action=action, cancelled=cancelled)
        except BackendError as error:
            # Others may have continued while the store did not answer, for instance because this process was stopped.
            if cancelled.is_set() or not await self._is_stored_after(error, record, action=action):
                raise

    async def _put(self, record: Record, *, action: str, cancelled: asyncio.Event) -> None:
        header, name, content = record.header, quote(record.graph_id), _framed(record, action=action)
        if not self._is_single_writer:
            await self._check_conditional_writes()
        if record.blobs and not cancelled.is_set():
            await self._blobs.add(record.graph_id, record.blobs, action=action)
        if cancelled.is_set():
            return
        await self._check_unused(name, header, action=action)
        if header.manual:
            # Before the record, which so appears with its id in one act. Whether an alias is true, the record says.
            await self._objects.write(self._keys.alias(header.checkpoint_id, name, header.sequence), b"", action=action)
        key = self._keys.record(name, header.sequence)
        etag = await self._objects.create(key, content, action=action, is_wanted=lambda: not cancelled.is_set())
        if etag is None:
            etag = await self._own_etag(name, header, action=action)
        await self._conclude(name, header, etag, action=action)

    async def _check_unused(self, name: str, header: RecordHeader, *, action: str) -> None:
        """Refuse a sequence that is known to be used before anything is written, so that nothing has to be taken back.

        Whether it is used by a record that is still there, the conditional PUT finds out. Only without it a look has to.
        """
        if not self._is_single_writer:
            if not self._views.is_recent(name):
                await self._views.look(name, action=action)
            if header.sequence <= self._views.view(name).deleted_up_to:
                raise _taken(header, _DELETED)
        elif not self._views.proves_unused(name, header.sequence):
            scan = await self._views.look(name, action=action)
            await scan.list_down_to([header.sequence])
            if header.sequence in scan.places or header.sequence <= scan.deleted_up_to:
                raise _taken(header, "is or was in use")

    async def _own_etag(self, name: str, header: RecordHeader, *, action: str) -> str:
        """The etag of the record in the way, when it is this very one, whose acknowledgement was lost.

        Even when every attempt of ours was answered: what stands between us and the store may send a request twice.
        """
        if header.nonce in self._acknowledged:
            raise _taken(header, "is in use, by this very record")
        try:
            stored = await self._records.header_at(name, header.sequence, action=action)
        except CheckpointDamagedError as error:
            raise _taken(header, "is in use, by something that is damaged") from error
        if stored is None:
            raise _taken(header, "was used before and its checkpoint has been deleted")
        if stored.nonce != header.nonce:
            raise _taken(header, "is in use")
        return self._records.etag_of(self._keys.record(name, header.sequence))

    async def _conclude(self, name: str, header: RecordHeader, etag: str, *, action: str) -> None:
        """The record is in its place. See to it that this was the first use of it, and remember it."""
        if not self._is_single_writer and not self._views.proves_unused(name, header.sequence):
            await self._check_not_deleted(name, header, etag, action=action)
        self._views.view(name).note_use(header.sequence)
        keep(self._acknowledged, header.nonce, None, most=_REMEMBERED)
        self._records.remember(self._keys.record(name, header.sequence), etag, header)

    async def _check_not_deleted(self, name: str, header: RecordHeader, etag: str, *, action: str) -> None:
        """See whether the sequence had been used by others before, and its record deleted. Then take ours back.

        Who removes an object writes the marker first. So when our PUT found the place free that way, the marker shows it.
        """
        scan = await self._views.look(name, action=action)
        if header.sequence > scan.deleted_up_to:
            return
        await self._objects.empty(self._keys.record(name, header.sequence), etag=etag, action=action)
        raise _taken(header, _DELETED)

    async def _is_stored_after(self, failure: BackendError, record: Record, *, action: str) -> bool:
        """Whether a record is stored although saving it failed. A store that did not answer is asked once more, for a short time.

        :raises SequenceTakenError: others have used its sequence meanwhile.
        """
        if failure.__cause__ is None or not is_passing(failure.__cause__):
            return False
        header, name = record.header, quote(record.graph_id)
        try:
            async with asyncio.timeout(self._objects.attempt_timeout):
                etag = await self._etag_in_place(name, header, action=action)
        except (TimeoutError, BackendError):
            return False  # what failed first says more
        if etag is not None:
            await self._conclude(name, header, etag, action=action)
        return etag is not None

    async def _etag_in_place(self, name: str, header: RecordHeader, *, action: str) -> str | None:
        """The etag of this very record in its place; None where the sequence was never used."""
        scan = await self._views.look(name, action=action)
        await scan.list_down_to([header.sequence])
        if header.sequence in scan.places:
            return await self._own_etag(name, header, action=action)
        if header.sequence <= scan.deleted_up_to:
            raise _taken(header, _DELETED)
        return None

    async def _check_conditional_writes(self) -> None:
        """Write an object twice, and see the second time refused. Once for each store and process.

        :raises BackendError: it was not: the store ignores ``If-None-Match``.
        """
        store = (await self._objects.connections.endpoint(), self._location.bucket)
        if store in _PROVEN:
            return
        action = "try out a conditional write"
        key = self._keys.probe(self._objects.token())
        await self._objects.create(key, b"a probe of spark-graphs, to be deleted at once", action=action)
        is_ignored = await self._objects.create(key, b"written twice", action=action) is not None
        await self._objects.remove([key], action=action)
        if is_ignored:
            raise BackendError(
                f"The s3 backend can't save in {self._location.shown}: this store ignores If-None-Match, so two processes could "
                "overwrite each other's checkpoints unnoticed. Use a store with conditional writes (docs/s3-backend.md names "
                "some), or pass single_writer=True if no two processes ever run the same graph id."
            )
        _PROVEN.add(store)

    async def leftovers(self, *, action: str) -> list[str]:
        """The keys of probes that were left behind by processes that ended while they tried the store out."""
        stale = timedelta(seconds=self._views.trust.probe_age)
        found, more = [], None
        while True:
            page = await self._objects.page(self._keys.probes, action=action, more=more)
            found += [each.key for each in page.objects if page.now is not None and page.now - each.written > stale]
            more = page.more
            if more is None:
                return found


def _framed(record: Record, *, action: str) -> bytes:
    content = frame(record)
    if len(content) > LARGEST:
        raise BackendError(
            f"The s3 backend can't {action}: it takes {len(content):,} bytes, and S3 takes {LARGEST:,} in one PUT. Keep "
            "less in the state, store large values on their own, or compress. Nothing was written."
        )
    return content


def _taken(header: RecordHeader, reason: str) -> SequenceTakenError:
    return SequenceTakenError(
        f"The s3 backend did not save checkpoint {header.sequence} of graph {header.graph_id[:80]!r}: this sequence "
        f"{reason}. Nothing was written. Read the latest checkpoint and continue from there."
    )
