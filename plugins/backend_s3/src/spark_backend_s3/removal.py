"""How records are removed, so that no writer uses their sequences again. Why this is so: docs/decisions/s3-backend.md.

- Before an object is removed, a *floor* at or above its sequence says that it was used.
- An object is not removed while somebody may trust that a PUT in its place would be refused: not when it is young, nor when
  nothing old stands above it. Then it is emptied, which deletes the record and keeps the place. Empty places that have
  become old go together, in one request.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from spark.errors import DeletionError, SparkError
from spark_backend_s3.bounded import keep
from spark_backend_s3.litter import ENOUGH, Litter
from spark_backend_s3.looks import Looks
from spark_backend_s3.names import Keys, quote
from spark_backend_s3.objects import PAGE, Objects
from spark_backend_s3.parallel import in_parallel
from spark_backend_s3.records import Entry, Records
from spark_backend_s3.survey import Survey, look_further, look_on

Sequences: TypeAlias = list[int]

_REMEMBERED: Final = 10_000
_FEW: Final = 2
"""So many known records are emptied without a look; it takes a request for each."""


class Removal:
    """Removes records of all graphs in one store."""

    def __init__(self, objects: Objects, keys: Keys, records: Records, looks: Looks, *, has_conditions: bool) -> None:
        self._objects = objects
        self._keys = keys
        self._records = records
        self._looks = looks
        self._has_conditions = has_conditions
        self._litter = Litter()
        looks.when_forgotten.append(self._litter.forget)
        self._swept: OrderedDict[str, None] = OrderedDict()
        """The graphs whose whole listing was searched for what others left."""
        self._locks: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()

    async def remove(self, graph_id: str, sequences: Sequence[int], *, action: str) -> Sequences:
        """Remove records for good; which of them were there.

        :raises DeletionError: the store failed; its ``deleted`` says which are gone.
        """
        name = quote(graph_id)
        deleted: Sequences = []
        async with self._lock_of(name):
            known = self._known(name, sequences)
            try:
                if known is None:
                    await self._remove_seen(name, sequences, deleted, action=action)
                else:
                    await self._remove_known(name, known, deleted, action=action)
            except SparkError as error:
                raise DeletionError(str(error), deleted=deleted) from error
        return sorted(deleted)

    async def forget(self, graph_id: str, *, action: str) -> Sequences:
        """Remove every object of a graph; the sequences of the records that were there.

        Records go first, and last the floor that keeps their places from being used again.

        :raises DeletionError: the store failed; its ``deleted`` says which are gone.
        """
        name = quote(graph_id)
        deleted: Sequences = []
        async with self._lock_of(name):
            try:
                await self._forget(name, deleted, action=action)
            except SparkError as error:
                raise DeletionError(str(error), deleted=deleted) from error
            finally:
                self._looks.forget(name)
        return sorted(deleted)

    async def _forget(self, name: str, deleted: Sequences, *, action: str) -> None:
        survey = await self._looks.look(name, action=action, limit=PAGE)
        await look_on(survey, self._objects, self._keys, name, action=action)
        if survey.places:
            await self._objects.write(self._keys.floor(name, survey.highest), b"", action=action)
        refused = await self._objects.remove([found.key for found in survey.places.values()], action=action)
        deleted += [entry.sequence for entry in survey.entries(name) if entry.key not in refused]
        self._check(refused, action=action)
        blobs = await self._objects.all_keys(self._keys.blobs(name), action=action)
        ids = await self._objects.all_keys(self._keys.all_ids, action=action)
        rest = [*blobs, *(key for key in ids if self._keys.is_alias_in(name, key))]
        self._check(await self._objects.remove(rest, action=action), action=action)
        floors = await self._objects.all_keys(self._keys.graph(name), action=action)
        self._check(await self._objects.remove(floors, action=action), action=action)

    def _check(self, refused: dict[str, str], *, action: str) -> None:
        for code in refused.values():
            raise self._objects.refusal(action, code)

    def _known(self, name: str, sequences: Sequence[int]) -> list[Entry] | None:
        """The places of these records, where they can be emptied without looking first; else None.

        The condition on an etag takes the place of the look: whoever emptied the record before has changed it.
        """
        if not self._has_conditions or name not in self._swept or len(sequences) > _FEW:
            return None
        entries = [self._records.entry(name, sequence) for sequence in dict.fromkeys(sequences)]
        found = [entry for entry in entries if entry is not None]
        return found if len(found) == len(entries) else None

    async def _remove_known(self, name: str, to_delete: Sequence[Entry], deleted: Sequences, *, action: str) -> None:
        aliases = self._aliases_of(to_delete)
        await self._empty(to_delete, deleted, action=action)
        old = self._litter.take_old(name, self._looks.timing)
        await self._give_up(name, old, beside=aliases, action=action)

    async def _remove_seen(self, name: str, sequences: Sequence[int], deleted: Sequences, *, action: str) -> None:
        survey = await self._looks.look(name, action=action, limit=PAGE)
        if name in self._swept:
            await look_further(survey, self._objects, self._keys, name, sequences, action=action)
        else:
            await look_on(survey, self._objects, self._keys, name, action=action)
            keep(self._swept, name, None, most=_REMEMBERED)
        wanted = set(sequences)
        to_delete = [entry for entry in survey.entries(name) if entry.sequence in wanted]
        await self._records.headers_of(to_delete, action=action)  # for their ids
        aliases, settled = self._aliases_of(to_delete), survey.settled(self._looks.timing)
        await self._empty([entry for entry in to_delete if entry.sequence not in settled], deleted, action=action)
        old = [entry for entry in to_delete if entry.sequence in settled]
        await self._clear(name, survey, old, deleted, aliases=aliases, action=action)

    async def _empty(self, to_delete: Sequence[Entry], deleted: Sequences, *, action: str) -> None:
        """Take the content out of records that keep their places."""

        async def empty(entry: Entry) -> SparkError | None:
            self._records.forget(entry.key)
            try:
                # Whoever changed it meanwhile has emptied it, and was told so.
                if await self._objects.empty(entry.key, etag=entry.etag, action=action):
                    deleted.append(entry.sequence)
                    self._litter.add(entry.name, entry.sequence, at=self._looks.timing.now())
            except SparkError as error:
                return error  # once the others have ended, so that what they did is known
            return None

        for error in await in_parallel(empty, to_delete):
            if error is not None:
                raise error

    async def _clear(
        self,
        name: str,
        survey: Survey,
        to_delete: Sequence[Entry],
        deleted: Sequences,
        *,
        aliases: Sequence[str],
        action: str,
    ) -> None:
        """Remove records whose places may be given up, and with them what else has become useless."""
        settled = survey.settled(self._looks.timing)
        emptied = [sequence for sequence, found in survey.places.items() if sequence in settled and not found.size]
        if not to_delete and len(emptied) < ENOUGH:
            emptied = []
        sequences = [*(entry.sequence for entry in to_delete), *emptied]
        stale = survey.stale_floors(self._looks.timing) if sequences else []
        refused = await self._give_up(name, sequences, beside=[*aliases, *stale], action=action)
        deleted += [entry.sequence for entry in to_delete if entry.key not in refused]
        kept = [entry for entry in to_delete if entry.key in refused]
        if kept:
            raise self._objects.refusal(action, refused[kept[0].key])

    async def _give_up(
        self, name: str, sequences: Sequence[int], *, beside: Sequence[str], action: str
    ) -> dict[str, str]:
        """Remove objects from their places; the keys that were refused, and why."""
        if max(sequences, default=0) > self._looks.floor(name):
            # Generously: it says the same of all that is used, and need not be raised again so soon.
            floor = max(self._looks.highest(name), max(sequences))
            await self._objects.write(self._keys.floor(name, floor), b"", action=action)
            self._looks.note_floor(name, floor)
        keys = [self._keys.record(name, sequence) for sequence in sequences]
        return await self._objects.remove([*keys, *beside], action=action)

    def _aliases_of(self, to_delete: Sequence[Entry]) -> list[str]:
        return [
            self._keys.alias(header.checkpoint_id, entry.name, entry.sequence)
            for entry in to_delete
            if (header := self._records.known(entry.key, entry.etag)) and header.manual
        ]

    def _lock_of(self, name: str) -> asyncio.Lock:
        """Deleters of one graph in this event loop take turns, so that one of them is told."""
        at = (id(asyncio.get_running_loop()), name)
        lock = self._locks.get(at)
        if lock is None:
            lock = self._locks[at] = asyncio.Lock()
        return lock
