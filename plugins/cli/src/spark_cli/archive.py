"""Records in one file: what ``export`` writes and ``import`` reads.

The file is a line ``spark-graphs records 1``, then for each record a line ``record H P``, H bytes of header, P bytes of payload
and a newline, and at the end a line ``end N``, N being the number of records. Headers and payloads stand there as backends store
them. A file that is being written is called ``….partial``; what is whole in it stays, and is gone on from.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self, TypeAlias

from spark.errors import CheckpointDamagedError, SequenceTakenError, SparkError
from spark.graphs.checkpoint import CheckpointInfo, Record, RecordHeader, run_blocking

Infos: TypeAlias = list[CheckpointInfo]

_TITLE: Final = b"spark-graphs records 1\n"
_FRAME: Final = re.compile(rb"record ([0-9]{1,9}) ([0-9]{1,15})\n")
_END: Final = re.compile(rb"end ([0-9]{1,15})\n")
_LONGEST_LINE: Final = 64


class ArchiveError(SparkError):
    """A file of records can't be written, or is none."""


@dataclass(frozen=True, slots=True)
class _Entry:
    header: RecordHeader
    info: CheckpointInfo
    start: int
    """Where its payload begins in the file."""


class Archive:
    """An open file of records: a place that records are carried from or to."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self._file = file
        self._entries: dict[tuple[str, int], _Entry] = {}
        self.flaw = ""
        """What is wrong with the file after its last whole record; empty when nothing is."""
        self._length = self._index()
        """Where the last whole record ends."""

    @property
    def partial(self) -> Path:
        """What the file is called until it is complete."""
        return _partial(self.path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The records of a finished file, or the whole ones of an unfinished one.

        :raises ArchiveError: there is no such file, or it is none of ours.
        """
        try:
            archive = cls(path.open("rb"), path)
        except OSError as error:
            raise ArchiveError(f"{path} can't be read: {error.strerror}.") from error
        if not archive._length:
            archive.close()
            raise ArchiveError(f"{path} is no file of records that `spark checkpoints export` wrote.")
        return archive

    @classmethod
    def write(cls, path: Path) -> Self:
        """A file to add records to: a new one, or what a stopped export left.

        :raises ArchiveError: the file exists, somebody else is writing it, or it can't be written.
        """
        if path.exists():
            raise ArchiveError(f"{path} exists. Choose another name, or remove it.")
        partial = _partial(path)
        try:
            file = os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
            _lock(file, partial)
            archive = cls(file, path)
            archive._cut_off_rest()
        except OSError as error:
            raise ArchiveError(f"{partial} can't be written: {error.strerror}.") from error
        return archive

    async def list(self, graph_id: str | None = None) -> Infos:
        """The checkpoints in the file, by graph id and sequence."""
        wanted = [each for each in sorted(self._entries) if graph_id in (None, each[0])]
        return [self._entries[each].info for each in wanted]

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        """The record with this address, or None."""
        entry = self._entries.get((graph_id, sequence))
        return None if entry is None else await run_blocking(self._record, entry)

    async def put(self, record: Record) -> None:
        """Add a record at the end."""
        if (record.graph_id, record.sequence) in self._entries:
            raise SequenceTakenError(f"{self.path} holds sequence {record.sequence} of graph {record.graph_id!r}.")
        await run_blocking(self._append, record)

    async def finish(self) -> None:
        """Make the file durable, and give it its name."""
        await run_blocking(self._finish)

    def close(self) -> None:
        """Close the file; what is in it stays."""
        self._file.close()

    def _append(self, record: Record) -> None:
        header, payload = record.header.to_json(), record.payload
        self._write(b"record %d %d\n%b%b\n" % (len(header), len(payload), header, payload))
        start = self._length + len(b"record %d %d\n" % (len(header), len(payload))) + len(header)
        self._entries[record.graph_id, record.sequence] = _Entry(record.header, record.info(), start)
        self._length = start + len(payload) + 1

    def _write(self, content: bytes) -> None:
        try:
            self._file.seek(self._length)
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise ArchiveError(f"{self.path} can't be written: {error.strerror}. What is in it stays.") from error

    def _finish(self) -> None:
        self._write(b"end %d\n" % len(self._entries))
        os.fsync(self._file.fileno())
        self.partial.rename(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _cut_off_rest(self) -> None:
        self._file.truncate(self._length)
        if not self._length:
            self._write(_TITLE)
            self._length = len(_TITLE)
        self.flaw = ""

    def _index(self) -> int:
        """Find the whole records; returns where the last of them ends, or 0 when this is no archive."""
        if self._file.readline(_LONGEST_LINE) != _TITLE:
            return 0
        length = self._file.tell()
        for entry in self._read_entries():
            self._entries[entry.info.graph_id, entry.info.sequence] = entry
            length = entry.start + entry.header.size + 1
        return length

    def _read_entries(self) -> Iterator[_Entry]:
        size = os.fstat(self._file.fileno()).st_size
        while frame := _FRAME.fullmatch(line := self._file.readline(_LONGEST_LINE)):
            start = self._file.tell() + int(frame[1])
            if start + int(frame[2]) + 1 > size:
                self.flaw = "it is cut off in the middle of a record"
                return
            try:
                header = RecordHeader.from_json(self._file.read(int(frame[1])))
            except CheckpointDamagedError as error:
                self.flaw = str(error)
                return
            record = Record(header, self._file.read(int(frame[2])))
            if not record.is_intact() or self._file.read(1) != b"\n":
                self.flaw = f"checkpoint {header.checkpoint_id!r} in it is not what was written"
                return
            yield _Entry(header, record.info(), start)
        end = _END.fullmatch(line)
        if end is None or int(end[1]) != len(self._entries) or self._file.tell() != size:
            self.flaw = "its end is missing" if not line else "after its last whole record stands something else"

    def _record(self, entry: _Entry) -> Record:
        self._file.seek(entry.start)
        return Record(entry.header, self._file.read(entry.header.size))


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ArchiveError(
            f"{path} is being written by another process. Wait for it, or choose another name."
        ) from error
