"""Records and headers, read from where they are stored. A header is read once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.storage import (
    LONGEST_HEAD,
    DamagedRecord,
    Record,
    RecordHeader,
    holds_head,
    read_head,
    unframe,
)
from spark_backend_s3.calls import in_parallel
from spark_backend_s3.names import Keys, quote, unquote
from spark_backend_s3.objects import Content, Objects
from spark_backend_s3.scan import Entry
from spark_backend_s3.view_cache import keep

_FIRST_LOOK: Final = 4096
"""Most headers are within so many bytes."""
_REMEMBERED: Final = 4096


class RecordObjects:
    """The objects that are records. A header that was read is kept for as long as the object is the same."""

    def __init__(self, objects: Objects, keys: Keys, *, bucket: str) -> None:
        self._objects = objects
        self._keys = keys
        self._bucket = bucket
        self._headers: OrderedDict[str, tuple[str, RecordHeader]] = OrderedDict()
        """By key, the etag and what is under it."""

    def remember(self, key: str, etag: str, header: RecordHeader) -> None:
        """Keep a header that is known."""
        keep(self._headers, key, (etag, header), most=_REMEMBERED)

    def forget(self, key: str) -> None:
        """Forget the header of an object that is not a record any more."""
        self._headers.pop(key, None)

    def known(self, key: str, etag: str) -> RecordHeader | None:
        """The header of this very object, if it was read before."""
        kept = self._headers.get(key)
        return kept[1] if kept and kept[0] == etag else None

    def etag_of(self, key: str) -> str:
        """The etag under which the header that was read last is kept."""
        return self._headers[key][0]

    def entry(self, name: str, sequence: int) -> Entry | None:
        """The place of a record whose header is known, as it was then; None for another."""
        key = self._keys.record(name, sequence)
        kept = self._headers.get(key)
        return Entry(name, sequence, key, kept[0], kept[1].size) if kept else None

    async def read_at(self, name: str, sequence: int, *, action: str) -> Record | None:
        """The record at an address, or None.

        :param name: the quoted graph id.
        :raises CheckpointDamagedError: what is there can't be read as a record, or is another one.
        """
        key = self._keys.record(name, sequence)
        content = await self._objects.read(key, action=action)
        if content is None or not content.size:
            return None
        record = unframe(content.data, place=self._place(key))
        self._check_place(name, sequence, key, record.header)
        self.remember(key, content.etag, record.header)
        return record

    async def record_or_damage(self, name: str, sequence: int, *, action: str) -> Record | DamagedRecord | None:
        """The same, with what is damaged as data."""
        try:
            return await self.read_at(name, sequence, action=action)
        except CheckpointDamagedError as error:
            place = self._place(self._keys.record(name, sequence))
            return DamagedRecord(unquote(name), sequence, place, str(error))

    async def header_at(self, name: str, sequence: int, *, action: str) -> RecordHeader | None:
        """The header of a record, or None when there is none.

        :param name: the quoted graph id.
        """
        key = self._keys.record(name, sequence)
        content = await self._beginning(key, action=action)
        if content is None or not content.size:
            return None
        header = read_head(content.data, place=self._place(key)).header
        self._check_place(name, sequence, key, header)
        self.remember(key, content.etag, header)
        return header

    async def header_of(self, entry: Entry, *, action: str) -> RecordHeader | None:
        """The header of a record that was listed; None when it was deleted since."""
        return self.known(entry.key, entry.etag) or await self.header_at(entry.name, entry.sequence, action=action)

    async def header_or_damage(self, entry: Entry, *, action: str) -> RecordHeader | DamagedRecord | None:
        """The same, with what is damaged as data."""
        try:
            return await self.header_of(entry, action=action)
        except CheckpointDamagedError as error:
            return DamagedRecord(unquote(entry.name), entry.sequence, self._place(entry.key), str(error))

    async def headers_of(self, entries: Sequence[Entry], *, action: str) -> list[RecordHeader | DamagedRecord]:
        """The headers of records that were listed, and what is damaged in their places."""
        found = await in_parallel(lambda entry: self.header_or_damage(entry, action=action), entries)
        return [each for each in found if each]

    async def _beginning(self, key: str, *, action: str) -> Content | None:
        content = await self._objects.read(key, action=action, first=_FIRST_LOOK)
        if content is None or holds_head(content.data) or len(content.data) == content.size:
            return content
        return await self._objects.read(key, action=action, first=LONGEST_HEAD + 1)

    def _check_place(self, name: str, sequence: int, key: str, header: RecordHeader) -> None:
        if (quote(header.graph_id), header.sequence) != (name, sequence):
            raise CheckpointDamagedError(
                f"{self._place(key)} holds checkpoint {header.sequence} of graph {header.graph_id[:80]!r}, which belongs "
                "elsewhere. Move that object back to its place."
            )

    def _place(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"
