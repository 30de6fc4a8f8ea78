"""How a record is written, so that a sequence is used once. Why this is so: docs/decisions/s3-backend.md.

A record is one object, made by one conditional PUT. The rest is about sequences whose records were removed, where the PUT
would succeed. ``removal.py`` sees to it that a *floor* at or above such a place says so, and that places are kept occupied
for longer than the *window*: a writer looks before its PUT, unless it has looked within the window, and may then trust the
PUT. One that was held up so long that the window is over looks for the floor once more, after the PUT.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from spark.errors import BackendError, CheckpointDamagedError, SequenceTakenError
from spark.graphs.checkpoint.storage import Record, RecordHeader, frame
from spark_backend_s3.bounded import keep
from spark_backend_s3.faults import is_passing
from spark_backend_s3.looks import Looks
from spark_backend_s3.names import Keys, quote
from spark_backend_s3.objects import LARGEST, Objects
from spark_backend_s3.records import Records
from spark_backend_s3.survey import look_further

_REMEMBERED: Final = 10_000
_GIVEN_UP: Final = "was used before and its checkpoint, or a later one, has been deleted"


class History:
    """The histories of all graphs in one store, as one process writes them."""

    def __init__(self, objects: Objects, keys: Keys, records: Records, looks: Looks, *, is_single_writer: bool) -> None:
        self._objects = objects
        self._keys = keys
        self._records = records
        self._looks = looks
        self._is_single_writer = is_single_writer
        self._acknowledged: OrderedDict[str, None] = OrderedDict()
        """The nonces of records whose writing was reported as done."""

    async def add(self, record: Record, *, action: str, is_wanted: Callable[[], bool]) -> None:
        """Store a record in one act.

        :param is_wanted: whether to go on when an attempt failed.
        :raises SequenceTakenError: its sequence is or was in use.
        """
        header, content = record.header, frame(record)
        if len(content) > LARGEST:
            raise BackendError(
                f"The s3 backend can't {action}: it takes {len(content):,} bytes, and S3 takes {LARGEST:,} in one act. Keep "
                "less in the state, store large values on their own, or compress. Nothing was written."
            )
        name = quote(header.graph_id)
        key = self._keys.record(name, header.sequence)
        if self._is_single_writer:
            await self._check_unused(name, header, action=action)
        else:
            await self._check_not_given_up(name, header, action=action)
        if header.manual:
            # Before the record, which so appears with its id in one act. Whether an alias is true, the record says.
            await self._objects.write(self._keys.alias(header.checkpoint_id, name, header.sequence), b"", action=action)
        etag = await self._objects.create(key, content, action=action, is_wanted=is_wanted)
        if etag is None:
            etag = await self._own_etag(name, header, action=action)
        await self._conclude(name, header, etag, action=action)

    async def is_stored_after(self, failure: BackendError, record: Record, *, action: str) -> bool:
        """Whether a record is stored although saving it failed. A store that did not answer is asked once more, for a short time.

        :raises SequenceTakenError: others have used its sequence meanwhile.
        """
        if failure.__cause__ is None or not is_passing(failure.__cause__):
            return False
        header = record.header
        name = quote(header.graph_id)
        try:
            async with asyncio.timeout(self._objects.patience):
                etag = await self._etag_in_place(name, header, action=action)
        except (TimeoutError, BackendError):
            return False  # what failed first says more
        if etag is not None:
            await self._conclude(name, header, etag, action=action)
        return etag is not None

    async def _etag_in_place(self, name: str, header: RecordHeader, *, action: str) -> str | None:
        """The etag of this very record in its place; None where the sequence was never used."""
        survey = await self._looks.look(name, action=action)
        await look_further(survey, self._objects, self._keys, name, [header.sequence], action=action)
        if header.sequence in survey.places:
            return await self._own_etag(name, header, action=action)
        if header.sequence <= survey.floor:
            raise _taken(header, _GIVEN_UP)
        return None

    async def _conclude(self, name: str, header: RecordHeader, etag: str, *, action: str) -> None:
        """The record is in its place; see to it that this was the first use of it, and remember it."""
        if not self._looks.prove_unused(name, header.sequence):
            await self._look_back(name, header, etag, action=action)
        self._looks.note_use(name, header.sequence)
        keep(self._acknowledged, header.nonce, None, most=_REMEMBERED)
        self._records.remember(self._keys.record(name, header.sequence), etag, header)

    async def _check_unused(self, name: str, header: RecordHeader, *, action: str) -> None:
        """Without conditional writes, a look has to come before."""
        if self._looks.prove_unused(name, header.sequence):
            return
        survey = await self._looks.look(name, action=action)
        await look_further(survey, self._objects, self._keys, name, [header.sequence], action=action)
        if header.sequence in survey.places or header.sequence <= survey.floor:
            raise _taken(header, "is or was in use")

    async def _check_not_given_up(self, name: str, header: RecordHeader, *, action: str) -> None:
        """Refuse a sequence whose place was given up before anything is written, so that nothing need be taken back."""
        if not self._looks.is_recent(name):
            await self._looks.look(name, action=action)
        if header.sequence <= self._looks.floor(name):
            raise _taken(header, _GIVEN_UP)

    async def _own_etag(self, name: str, header: RecordHeader, *, action: str) -> str:
        """The etag of the record in the way, when it is this very one, whose acknowledgement was lost.

        Also when every attempt of ours was answered: what stands between us and the store may send a request twice.
        """
        if header.nonce in self._acknowledged:
            raise _taken(header, "is in use, by this very record")
        key = self._keys.record(name, header.sequence)
        try:
            stored = await self._records.header_at(name, header.sequence, action=action)
        except CheckpointDamagedError as error:
            raise _taken(header, "is in use, by something that is damaged") from error
        if stored is None:
            raise _taken(header, "was used before and its checkpoint has been deleted")
        if stored.nonce != header.nonce:
            raise _taken(header, "is in use")
        return self._records.etag_of(key)

    async def _look_back(self, name: str, header: RecordHeader, etag: str, *, action: str) -> None:
        """See whether the sequence had been used by others before, and its record removed; then take ours back.

        Who removes a record raises the floor first. So when our PUT found the place free that way, the floor shows it.
        """
        survey = await self._looks.look(name, action=action)
        if header.sequence > survey.floor:
            return
        await self._objects.empty(self._keys.record(name, header.sequence), etag=etag, action=action)
        raise _taken(header, _GIVEN_UP)


def _taken(header: RecordHeader, reason: str) -> SequenceTakenError:
    return SequenceTakenError(
        f"The s3 backend did not save checkpoint {header.sequence} of graph {header.graph_id[:80]!r}: this sequence "
        f"{reason}. Nothing was written. Read the latest checkpoint and continue from there."
    )
