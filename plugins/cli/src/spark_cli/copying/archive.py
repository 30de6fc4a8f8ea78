"""Records in one file: what ``export`` writes and ``import`` reads.

The file has a line ``spark-graphs records 1``, then for each record a line ``record H P``, H bytes of header, P bytes of payload
and a newline, and at the end a line ``end N``, N being the number of records. Headers and payloads are written as backends store
them. A large value precedes the first record that refers to it: a line ``blob H P``, H bytes of JSON that name its graph,
itself and a checksum over these two and its content, P bytes of content and a newline. A file that is being written is called
``….partial``; an export that is done again resumes after its last whole record.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from errno import EINVAL
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, Final, Self, TypeAlias

from spark.errors import CheckpointDamagedError, SequenceTakenError, SparkError
from spark.graphs.checkpoint import CheckpointInfo, Listing
from spark.graphs.checkpoint.storage import Record, RecordHeader, Records, run_blocking

Names: TypeAlias = list[str]

_TITLE: Final = b"spark-graphs records 1\n"
_FRAME: Final = re.compile(rb"(record|blob) ([0-9]{1,9}) ([0-9]{1,15})\n")
_END: Final = re.compile(rb"end ([0-9]{1,15})\n")
_LONGEST_LINE: Final = 64


class ArchiveError(SparkError):
    """A file of records can't be read or written."""


@dataclass(frozen=True, slots=True)
class _Entry:
    header: RecordHeader
    info: CheckpointInfo
    start: int
    """Where its payload begins in the file."""


@dataclass(frozen=True, slots=True)
class _Blob:
    head: bytes
    start: int
    """Where its content begins in the file."""
    size: int


class Archive:
    """An open file of records: a place to copy records from or to."""

    keeps_blobs = True
    """Large values are kept apart from the records, each once."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self._file = file
        self._entries: dict[tuple[str, int], _Entry] = {}
        self._blobs: dict[tuple[str, str], _Blob] = {}
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

        :raises ArchiveError: there is no such file, or `export` did not write it.
        """
        try:
            archive = cls(os.fdopen(_opened(path, os.O_RDONLY), "rb"), path)
        except OSError as error:
            raise ArchiveError(f"{path} can't be read: {error.strerror}.") from error
        if not archive._length:
            archive.close()
            raise ArchiveError(f"{path} is not a file that `spark checkpoints export` wrote.")
        return archive

    @classmethod
    def write(cls, path: Path) -> Self:
        """A file to add records to: a new one, or the one of an export that was stopped.

        :raises ArchiveError: the file exists, somebody else is writing it, or it can't be written.
        """
        if path.exists():
            raise ArchiveError(f"{path} already exists. Choose another name, or remove it.")
        partial = _partial(path)
        try:
            file = os.fdopen(_opened(partial, os.O_RDWR | os.O_CREAT), "r+b")
            _lock(file, partial)
            archive = cls(file, path)
            archive._cut_off_rest()
        except OSError as error:
            raise ArchiveError(f"{partial} can't be written: {error.strerror}.") from error
        return archive

    async def list(self, graph_id: str | None = None) -> Listing:
        """The checkpoints in the file, by graph id and sequence."""
        wanted = [each for each in sorted(self._entries) if graph_id in (None, each[0])]
        return Listing([self._entries[each].info for each in wanted])

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        """The record with this address, or None."""
        entry = self._entries.get((graph_id, sequence))
        return None if entry is None else await run_blocking(self._record, entry)

    async def get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
        """The records with these addresses, as far as there are any."""
        read = {sequence: await self.get(graph_id, sequence) for sequence in sorted({*sequences})}
        return Records({sequence: record for sequence, record in read.items() if record is not None})

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        """Name to content of these large values of a graph, as far as they are there."""
        found = {name: blob for name in names if (blob := self._blobs.get((graph_id, name)))}
        return {name: await run_blocking(self._content, blob.start, blob.size) for name, blob in found.items()}

    async def blob_names(self, graph_id: str) -> Names:
        """The names of all large values of a graph."""
        return [name for owner, name in self._blobs if owner == graph_id]

    async def put(self, record: Record) -> None:
        """Add a record at the end, after those of its large values that are not there yet."""
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
        for name, content in record.blobs.items():
            head = _blob_head(record.graph_id, name, content)
            known = self._blobs.get((record.graph_id, name))
            if known is None or known.head != head:
                start = self._append_frame(b"blob", head, content)
                self._blobs[record.graph_id, name] = _Blob(head, start, len(content))
        start = self._append_frame(b"record", record.header.to_json(), record.payload)
        self._entries[record.graph_id, record.sequence] = _Entry(record.header, record.info(), start)

    def _append_frame(self, kind: bytes, head: bytes, content: bytes) -> int:
        """Add this at the end; returns where its content begins."""
        line = b"%b %d %d\n" % (kind, len(head), len(content))
        self._write(b"".join((line, head, content, b"\n")))
        start = self._length + len(line) + len(head)
        self._length = start + len(content) + 1
        return start

    def _write(self, content: bytes) -> None:
        try:
            self._file.seek(self._length)
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise ArchiveError(
                f"{self.path} can't be written: {error.strerror}. What was written before is kept."
            ) from error

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
        """Find the whole records; returns where the last one ends, or 0 when this is not an archive."""
        if self._file.readline(_LONGEST_LINE) != _TITLE:
            return 0
        ends = [self._file.tell(), *self._take_frames()]
        return ends[-1]

    def _take_frames(self) -> Iterator[int]:
        """Read one after another; yields where each ends."""
        size = os.fstat(self._file.fileno()).st_size
        while frame := _FRAME.fullmatch(line := self._file.readline(_LONGEST_LINE)):
            start = self._file.tell() + int(frame[2])
            end = start + int(frame[3]) + 1
            if end > size:
                self.flaw = f"it ends in the middle of a {frame[1].decode()}"
                return
            take = self._take_record if frame[1] == b"record" else self._take_blob
            try:
                take(self._file.read(int(frame[2])), self._file.read(int(frame[3])), start)
            except CheckpointDamagedError as error:
                self.flaw = str(error)
                return
            yield end
        end_line = _END.fullmatch(line)
        if end_line is None or int(end_line[1]) != len(self._entries) or self._file.tell() != size:
            self.flaw = "its end is missing" if not line else "its last whole record is followed by something else"

    def _take_record(self, head: bytes, payload: bytes, start: int) -> None:
        header = RecordHeader.from_json(head)
        record = Record(header, payload)
        if not record.is_intact() or self._file.read(1) != b"\n":
            raise CheckpointDamagedError(f"checkpoint {header.checkpoint_id!r} in it is not what was written")
        self._entries[header.graph_id, header.sequence] = _Entry(header, record.info(), start)

    def _take_blob(self, head: bytes, content: bytes, start: int) -> None:
        graph_id, name = _names_in(head)
        if _blob_head(graph_id, name, content) != head or self._file.read(1) != b"\n":
            raise CheckpointDamagedError(f"the large value {name[:100]!r} in it is not what was written")
        self._blobs[graph_id, name] = _Blob(head, start, len(content))

    def _record(self, entry: _Entry) -> Record:
        return Record(entry.header, self._content(entry.start, entry.header.size))

    def _content(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        return self._file.read(size)


def _blob_head(graph_id: str, name: str, content: bytes) -> bytes:
    digest = sha256(json.dumps([graph_id, name]).encode("ascii"))
    digest.update(content)
    return json.dumps({"graph_id": graph_id, "name": name, "sha256": digest.hexdigest()}).encode("ascii")


def _names_in(head: bytes) -> tuple[str, str]:
    try:
        fields = json.loads(head)
        graph_id, name = fields["graph_id"], fields["name"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointDamagedError("the header of a large value in it is not valid") from error
    if not isinstance(graph_id, str) or not isinstance(name, str):
        raise CheckpointDamagedError("the header of a large value in it is not valid")
    return graph_id, name


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _opened(path: Path, flags: int) -> int:
    # O_NONBLOCK, so that a pipe is found out instead of waited for.
    file = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    if not S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(EINVAL, "it is not a file")
    return file


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ArchiveError(
            f"{path} is being written by another process. Wait for it, or choose another name."
        ) from error
