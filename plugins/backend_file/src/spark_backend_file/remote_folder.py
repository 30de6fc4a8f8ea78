"""The records of one graph on a filesystem without ``link`` and fsync. Every function here blocks.

All is said by names in one folder, so that one listing answers what is there: a record, ``000000000042.ckpt``; the
highest sequence that was deleted, ``000000000041.floor``; an id given by hand, ``mine@000000000042``. Errors of the
filesystem leave this file as they are; ``remote.py`` turns them into the errors of the project.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from spark.errors import CheckpointDamagedError, SequenceTakenError
from spark.graphs.checkpoint.storage import (
    LONGEST_HEAD,
    CheckpointInfo,
    DamagedRecord,
    Record,
    RecordHeader,
    automatic_id,
    check_size,
    frame,
    read_head,
    unframe,
)
from spark_backend_file.folder import misplaced
from spark_backend_file.listing import Entry, Listing, read_listing
from spark_backend_file.names import alias_name, floor_name, is_hashed, quote, record_name, unquote
from spark_backend_file.publishing import Way
from spark_backend_file.temporaries import is_leftover

FIRST_READ: Final = 4_096
"""Most headers are shorter than this."""
_AT_ONCE: Final = 100


class RemoteFolder:
    """One graph's folder.

    :param path: of the folder, on its filesystem.
    :param shown: the folder as messages name it.
    :param headers: those that were read before: path to what the listing said of the file, and its header.
    """

    def __init__(
        self, filesystem: Any, path: str, *, shown: str, way: Way, headers: dict[str, tuple[Entry, RecordHeader]]
    ) -> None:
        self._filesystem = filesystem
        self._path = path
        self._name = path.rpartition("/")[2]
        self._shown = shown
        self._way = way
        self._headers = headers

    def add(self, record: Record, *, sweep: bool) -> None:
        """Store a record, or leave nothing of it.

        :param sweep: also remove the temporary files of writers that are gone.
        :raises SequenceTakenError: its sequence is or was in use.
        """
        header = record.header
        content = frame(record)
        listing = self._prepared()
        if sweep:
            self._sweep(listing)
        _refuse_deleted(header, listing)
        if header.sequence in listing.records:
            raise _taken(header, "is in use")
        if header.manual:
            # Before the record, which so appears with its id; until then it means nothing.
            self._write_hint(alias_name(header.checkpoint_id, header.sequence))
        try:
            self._way.publish(self._filesystem, self._path, record_name(header.sequence), content)
        except FileExistsError as error:
            raise _taken(header, "is in use") from error
        if self._way.arbitrates:
            self._withdraw_if_deleted(header)

    def read(self, sequence: int) -> Record | None:
        """The record with this sequence, or None."""
        path, place = self._file(sequence), self._place(sequence)
        try:
            status = self._filesystem.info(path)
            if status["type"] != "file":
                raise _no_file(place)
            size = status["size"]
            beginning = self._bytes(path, 0, min(size, LONGEST_HEAD))
            # Only when the length is right is anything read that is as long as the file claims to be.
            check_size(read_head(beginning, place=place), size, place=place)
            return unframe(beginning + self._bytes(path, len(beginning), size), place=place)
        except FileNotFoundError:
            return None

    def next_sequence(self) -> int:
        """The lowest sequence above every one that was ever used here."""
        listing = self._listing()
        return max(max(listing.records, default=0), listing.floor) + 1

    def found(self, graph_id: str | None) -> Iterator[CheckpointInfo | DamagedRecord]:
        """A line for every record, by sequence, or what is damaged in its place.

        :param graph_id: None where no record can tell it, so that all of them are damaged.
        """
        listing = self._listing()
        for sequence, found in self._read_headers(listing, sorted(listing.records)):
            if isinstance(found, RecordHeader) and found.graph_id == graph_id and found.sequence == sequence:
                yield _info(graph_id, sequence, found, listing.records[sequence])
            elif found is not None:  # else it was deleted meanwhile
                damage = misplaced(self._place(sequence), found) if isinstance(found, RecordHeader) else found
                yield DamagedRecord(graph_id, sequence, self._place(sequence), str(damage))

    def latest(self, graph_id: str) -> CheckpointInfo | None:
        """The line of the last record.

        :raises CheckpointDamagedError: what stands in the last place is no record; to pass it over would be a guess.
        """
        listing = self._listing()
        infos = (self._line(graph_id, sequence, listing) for sequence in sorted(listing.records, reverse=True))
        return next((info for info in infos if info), None)

    def info(self, graph_id: str, sequence: int) -> CheckpointInfo | None:
        """The line of one record."""
        listing = self._listing()
        return self._line(graph_id, sequence, listing) if sequence in listing.records else None

    def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        """The last record that was given this id by hand."""
        name, listing = quote(checkpoint_id), self._listing()
        aliased = {sequence for alias, sequence in listing.aliases if alias == name}
        for sequence in sorted(aliased & listing.records.keys(), reverse=True):
            graph_id = self._graph_id_in(listing)
            info = self._line(graph_id, sequence, listing) if graph_id is not None else None
            if info and info.manual and info.checkpoint_id == checkpoint_id:
                return info
        return None

    def graph_id(self) -> str | None:
        """The graph that this folder belongs to; None when no record can tell."""
        return self._graph_id_in(self._listing()) if is_hashed(self._name) else unquote(self._name)

    def remove(self, sequence: int) -> bool:
        """Remove a record, never to use its sequence again; False when there is none."""
        listing = self._listing()
        if sequence not in listing.records:
            return False
        self._raise_floor(sequence, listing)
        try:
            self._filesystem.rm_file(self._file(sequence))
        except FileNotFoundError:
            return False
        self._remove_hints(listing.alias_names(sequence))
        return True

    def forget(self, deleted: list[int]) -> None:
        """Remove all there is, and the folder: records first, and last what tells which sequences were used.

        :param deleted: takes the sequences of records that were there, as they go.
        """
        listing = self._listing()
        if listing.records:
            self._raise_floor(max(listing.records), listing)
        for sequence in sorted(listing.records):
            if self._remove_file(self._file(sequence)):
                deleted.append(sequence)  # noqa: PERF401 - those before an error are gone as well
        left = read_listing(self._filesystem, self._path)
        if left is None:
            return
        aliases = [f"{alias}@{sequence:012d}" for alias, sequence in left.aliases]
        for name in (*left.temporaries, *aliases, *map(floor_name, left.floors)):
            self._remove_file(f"{self._path}/{name}")
        if self._way.has_folders:
            self._filesystem.rmdir(self._path)

    def _remove_file(self, path: str) -> bool:
        self._headers.pop(path, None)
        try:
            self._filesystem.rm_file(path)
        except FileNotFoundError:
            return False
        return True

    def leftovers(self, remove: bool) -> list[str]:
        """The names of the temporary files of writers that are gone; those that can be removed are, if asked for."""
        listing = self._listing()
        if remove:
            self._sweep(listing)
        return sorted(_leftovers_of(listing))

    def _prepared(self) -> Listing:
        listing = read_listing(self._filesystem, self._path)
        if listing is None and self._way.has_folders:
            self._make_folder()
        return listing or Listing()

    def _make_folder(self) -> None:
        # Others make the folders above at the same time; whenever that is in the way, one more of them is there.
        for depth in range(self._path.count("/"), -1, -1):
            try:
                self._filesystem.makedirs(self._path, exist_ok=True)
            except Exception:
                if self._filesystem.isdir(self._path):
                    return
                if not depth:
                    raise
            else:
                return

    def _sweep(self, listing: Listing) -> None:
        self._remove_hints(_leftovers_of(listing))

    def _withdraw_if_deleted(self, header: RecordHeader) -> None:
        # Between the first look and the commit, others may have used this sequence and deleted it. Deleting raises the
        # floor before it removes, so if ours could be created because theirs was gone, it shows.
        if header.sequence <= self._listing().floor:
            with suppress(FileNotFoundError):
                self._filesystem.rm_file(self._file(header.sequence))
            _refuse_deleted(header, self._listing())

    def _raise_floor(self, sequence: int, listing: Listing) -> None:
        if sequence > listing.floor:
            self._write_hint(floor_name(sequence))
        # Only lower ones than what is there: so the floor never sinks, whoever else raises it at the same time.
        self._remove_hints(floor_name(floor) for floor in listing.floors if floor < max(sequence, listing.floor))

    def _write_hint(self, name: str) -> None:
        # Its name says all. It is not empty, because some filesystems take an empty object for a folder.
        self._filesystem.pipe_file(f"{self._path}/{name}", f"{name}\n".encode())

    def _remove_hints(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(Exception):  # one that stays means nothing, and costs a line in the listing
                self._filesystem.rm_file(f"{self._path}/{name}")

    def _line(self, graph_id: str, sequence: int, listing: Listing) -> CheckpointInfo | None:
        ((_, found),) = self._read_headers(listing, [sequence])
        if isinstance(found, CheckpointDamagedError):
            raise found
        return _info(graph_id, sequence, found, listing.records[sequence]) if found else None

    def _graph_id_in(self, listing: Listing) -> str | None:
        if not is_hashed(self._name):
            return unquote(self._name)
        for _, found in self._read_headers(listing, sorted(listing.records)):
            if isinstance(found, RecordHeader) and quote(found.graph_id) == self._name:
                return found.graph_id
        return None

    def _read_headers(
        self, listing: Listing, sequences: list[int]
    ) -> Iterator[tuple[int, RecordHeader | CheckpointDamagedError | None]]:
        """The header of each of these records; None for one that is gone, the error for one that is damaged."""
        for start in range(0, len(sequences), _AT_ONCE):
            yield from self._read_some_headers(listing, sequences[start : start + _AT_ONCE])

    def _read_some_headers(
        self, listing: Listing, sequences: list[int]
    ) -> Iterator[tuple[int, RecordHeader | CheckpointDamagedError | None]]:
        known = {sequence: self._known(sequence, listing) for sequence in sequences}
        unread = [(sequence, listing.records[sequence]) for sequence in sequences if known[sequence] is None]
        beginnings = self._beginnings([(sequence, entry.size) for sequence, entry in unread])
        for sequence in sequences:
            try:
                header = known[sequence] or self._parsed(sequence, listing.records[sequence], beginnings[sequence])
                yield sequence, header
            except FileNotFoundError:
                yield sequence, None
            except CheckpointDamagedError as error:
                yield sequence, error

    def _known(self, sequence: int, listing: Listing) -> RecordHeader | None:
        entry, header = self._headers.get(self._file(sequence), (None, None))
        return header if entry == listing.records[sequence] else None

    def _beginnings(self, wanted: list[tuple[int, int]]) -> dict[int, bytes | Exception]:
        """Of each sequence and size the first bytes, in as few exchanges as the filesystem can."""
        filled = [(sequence, min(size, FIRST_READ)) for sequence, size in wanted if size]
        paths = [self._file(sequence) for sequence, _ in filled]
        ends = [end for _, end in filled]
        read = self._filesystem.cat_ranges(paths, [0] * len(paths), ends, on_error="return") if paths else []
        return {sequence: b"" for sequence, _ in wanted} | dict(
            zip([sequence for sequence, _ in filled], read, strict=True)
        )

    def _parsed(self, sequence: int, entry: Entry, beginning: bytes | Exception) -> RecordHeader:
        place = self._place(sequence)
        if entry.type != "file":
            raise _no_file(place)
        if isinstance(beginning, Exception):
            raise beginning
        try:
            header = read_head(beginning, place=place).header
        except CheckpointDamagedError:
            if entry.size <= len(beginning):
                raise
            longer = self._bytes(self._file(sequence), 0, min(entry.size, LONGEST_HEAD))
            header = read_head(longer, place=place).header
        self._headers[self._file(sequence)] = (entry, header)
        return header

    def _bytes(self, path: str, start: int, end: int) -> bytes:
        # Many stores refuse to read nothing.
        return bytes(self._filesystem.cat_file(path, start=start, end=end)) if end > start else b""

    def _listing(self) -> Listing:
        return read_listing(self._filesystem, self._path) or Listing()

    def _file(self, sequence: int) -> str:
        return f"{self._path}/{record_name(sequence)}"

    def _place(self, sequence: int) -> str:
        return f"{self._shown}/{record_name(sequence)}"


def _leftovers_of(listing: Listing) -> list[str]:
    # Where the filesystem does not tell its age, only the file of a dead process of this machine is a leftover.
    return [
        name
        for name, changed in listing.temporaries.items()
        if is_leftover(name, age=time.time() - changed.timestamp() if changed else 0)
    ]


def _info(graph_id: str, sequence: int, header: RecordHeader, entry: Entry) -> CheckpointInfo:
    timestamp: datetime = header.timestamp
    return CheckpointInfo(
        checkpoint_id=header.checkpoint_id if header.manual else automatic_id(graph_id, sequence),
        graph_id=graph_id,
        sequence=sequence,
        timestamp=timestamp,
        size=entry.size,
        manual=header.manual,
    )


def _refuse_deleted(header: RecordHeader, listing: Listing) -> None:
    if header.sequence <= listing.floor:
        raise _taken(header, "was used before and its checkpoint, or a later one, has been deleted")


def _taken(header: RecordHeader, reason: str) -> SequenceTakenError:
    return SequenceTakenError(
        f"The file backend did not save checkpoint {header.sequence} of graph {header.graph_id[:80]!r}: this sequence "
        f"{reason}. Nothing was written. Read the latest checkpoint and continue from there."
    )


def _no_file(place: str) -> CheckpointDamagedError:
    return CheckpointDamagedError(f"{place} is not a file, so it is no checkpoint. Remove it, or restore the file.")
