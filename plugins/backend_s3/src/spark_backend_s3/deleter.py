"""How records are deleted, so that no writer uses their sequences again. Why this is so: docs/decisions/s3-backend.md.

- Before an object is removed, there is a *marker* at or above its sequence: an object whose name says that no sequence up to
  there may be used any more.
- An object is not removed while somebody may trust that a PUT in its place would be refused: not when it is young, nor when
  nothing old stands above it. Then it is emptied, which deletes the record and keeps the place. Emptied places that have
  become old are removed together, in one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from spark.errors import DeletionError, SparkError, StoreNotFoundError
from spark_backend_s3.calls import in_parallel
from spark_backend_s3.names import Keys, quote
from spark_backend_s3.objects import PAGE, Objects
from spark_backend_s3.records import RecordObjects
from spark_backend_s3.scan import Entry, GraphScan
from spark_backend_s3.view_cache import ViewCache

Sequences: TypeAlias = list[int]

_FEW: Final = 2
"""So many known records are emptied without a look; it takes a request for each."""


class RecordDeleter:
    """Deletes records of all graphs in one store."""

    def __init__(
        self, objects: Objects, keys: Keys, *, records: RecordObjects, views: ViewCache, has_conditions: bool
    ) -> None:
        self._objects = objects
        self._keys = keys
        self._records = records
        self._views = views
        self._has_conditions = has_conditions
        self._locks: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()

    async def delete(self, graph_id: str, sequences: Sequence[int], *, action: str) -> Sequences:
        """Delete records for good; which of them this call deleted.

        :raises DeletionError: the store failed; its ``deleted`` says which are deleted.
        """
        name, deleted = quote(graph_id), list[int]()
        async with self._lock_of(name):
            known = self._known(name, sequences)
            try:
                if known is None:
                    await self._delete_listed(name, sequences, deleted, action=action)
                else:
                    await self._delete_known(name, known, deleted, action=action)
            except StoreNotFoundError:
                raise
            except SparkError as error:
                raise DeletionError(str(error), deleted=deleted) from error
        return sorted(deleted)

    async def forget(self, graph_id: str, *, action: str) -> Sequences:
        """Remove every object of a graph; the sequences of the records that were there.

        Records go first, and last the marker that keeps their sequences from being used again.

        :raises DeletionError: the store failed; its ``deleted`` says which are deleted.
        """
        name, deleted = quote(graph_id), list[int]()
        async with self._lock_of(name):
            try:
                await self._forget(name, deleted, action=action)
            except SparkError as error:
                raise DeletionError(str(error), deleted=deleted) from error
            finally:
                self._views.forget(name)
        return sorted(deleted)

    def _known(self, name: str, sequences: Sequence[int]) -> list[Entry] | None:
        """These records, where they can be emptied without looking first; else None.

        The condition on an etag takes the place of the look: whoever emptied the record before has changed it.
        """
        if not self._has_conditions or not self._views.view(name).is_tidied or len(sequences) > _FEW:
            return None
        entries = [self._records.entry(name, sequence) for sequence in dict.fromkeys(sequences)]
        found = [entry for entry in entries if entry is not None]
        return found if len(found) == len(entries) else None

    async def _delete_known(self, name: str, entries: Sequence[Entry], deleted: Sequences, *, action: str) -> None:
        aliases = self._aliases_of(entries)
        await self._empty(name, entries, deleted, action=action)
        old = self._views.view(name).tombstones.take_old(self._views.trust)
        await self._remove(name, old, beside=aliases, action=action)

    async def _delete_listed(self, name: str, sequences: Sequence[int], deleted: Sequences, *, action: str) -> None:
        scan = await self._listed(name, sequences, action=action)
        wanted, removable = set(sequences), scan.removable(self._views.trust)
        entries = [entry for entry in scan.entries if entry.sequence in wanted]
        await self._records.headers_of(entries, action=action)  # for their ids
        aliases = self._aliases_of(entries)
        young = [entry for entry in entries if entry.sequence not in removable]
        await self._empty(name, young, deleted, action=action)
        old = [entry for entry in entries if entry.sequence in removable]
        await self._remove_old(name, scan, old, deleted, aliases=aliases, action=action)

    async def _listed(self, name: str, sequences: Sequence[int], *, action: str) -> GraphScan:
        """The listing of a graph as far as these sequences; the first time all of it, to find what others have emptied."""
        scan = await self._views.look(name, action=action, limit=PAGE)
        view = self._views.view(name)
        if view.is_tidied:
            await scan.list_down_to(sequences)
        else:
            await scan.list_rest()
            view.is_tidied = True
        return scan

    async def _empty(self, name: str, entries: Sequence[Entry], deleted: Sequences, *, action: str) -> None:
        """Take the content out of records that keep their places."""
        tombstones = self._views.view(name).tombstones

        async def empty(entry: Entry) -> SparkError | None:
            self._records.forget(entry.key)
            try:
                # Whoever changed it meanwhile has emptied it, and has reported that.
                if await self._objects.empty(entry.key, etag=entry.etag, action=action):
                    deleted.append(entry.sequence)
                    tombstones.add(entry.sequence, at=self._views.trust.clock.monotonic())
            except SparkError as error:
                return error  # once the others have ended, so that what they did is known
            return None

        for error in await in_parallel(empty, entries):
            if error is not None:
                raise error

    async def _remove_old(
        self,
        name: str,
        scan: GraphScan,
        old: Sequence[Entry],
        deleted: Sequences,
        *,
        aliases: Sequence[str],
        action: str,
    ) -> None:
        """Remove records whose places need not be kept, and with them other objects that mean nothing any more."""
        trust = self._views.trust
        emptied = [sequence for sequence in scan.removable(trust) if not scan.places[sequence].size]
        if not old and len(emptied) < trust.batch:
            emptied = []
        sequences = [*(entry.sequence for entry in old), *emptied]
        stale = scan.stale_markers(trust) if sequences else []
        refused = await self._remove(name, sequences, beside=[*aliases, *stale], action=action)
        deleted += [entry.sequence for entry in old if entry.key not in refused]
        self._check({key: code for key, code in refused.items() if key in {entry.key for entry in old}}, action=action)

    async def _remove(
        self, name: str, sequences: Sequence[int], *, beside: Sequence[str], action: str
    ) -> dict[str, str]:
        """Remove objects from their places, and others; the keys that were refused, and why."""
        view = self._views.view(name)
        if max(sequences, default=0) > view.deleted_up_to:
            # Generously, so that it need not be raised again so soon; but a record whose writer has no answer yet would be taken
            # back by its writer if a marker stood at or above it.
            deleted_up_to = max(view.stored, *sequences)
            await self._objects.write(self._keys.marker(name, deleted_up_to), b"", action=action)
            view.note_marker(deleted_up_to)
        keys = [self._keys.record(name, sequence) for sequence in sequences]
        return await self._objects.remove([*keys, *beside], action=action)

    async def _forget(self, name: str, deleted: Sequences, *, action: str) -> None:
        scan = await self._views.look(name, action=action, limit=PAGE)
        await scan.list_rest()
        if scan.places:
            await self._objects.write(self._keys.marker(name, scan.highest), b"", action=action)
        refused = await self._objects.remove([found.key for found in scan.places.values()], action=action)
        deleted += [entry.sequence for entry in scan.entries if entry.key not in refused]
        self._check(refused, action=action)
        blobs = await self._objects.all_keys(self._keys.blobs(name), action=action)
        ids = await self._objects.all_keys(self._keys.all_ids, action=action)
        rest = [*blobs, *(key for key in ids if self._keys.is_alias_in(name, key))]
        self._check(await self._objects.remove(rest, action=action), action=action)
        markers = await self._objects.all_keys(self._keys.graph(name), action=action)
        self._check(await self._objects.remove(markers, action=action), action=action)

    def _check(self, refused: dict[str, str], *, action: str) -> None:
        for code in refused.values():
            raise self._objects.refusal(action, code)

    def _aliases_of(self, entries: Sequence[Entry]) -> list[str]:
        return [
            self._keys.alias(header.checkpoint_id, entry.name, entry.sequence)
            for entry in entries
            if (header := self._records.known(entry.key, entry.etag)) and header.manual
        ]

    def _lock_of(self, name: str) -> asyncio.Lock:
        """Deleters of one graph in this event loop take turns, so that one of them reports each deletion."""
        at = (id(asyncio.get_running_loop()), name)
        lock = self._locks.get(at)
        if lock is None:
            lock = self._locks[at] = asyncio.Lock()
        return lock
