"""A backend in one class: a folder with a file for each record, and a lock that lets one writer in at a time."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeAlias
from urllib.parse import unquote, urlsplit

from spark.errors import BackendError, CheckpointDamagedError, SequenceTakenError
from spark.graphs.checkpoint.storage import (
    CheckpointBackend,
    CheckpointInfo,
    DamagedRecord,
    Listing,
    Record,
    RecordHeader,
    Records,
    is_blob_name,
    run_blocking,
)

Names: TypeAlias = list[str]
Sequences: TypeAlias = list[int]


class ExampleCheckpointBackend(CheckpointBackend):
    """Keeps checkpoints in a folder of a local disk.

    A file is named by the hash of its graph id, so that no id can leave the folder, and by its sequence. It holds the
    header as one line of JSON, then the payload. The file of a deleted record stays, empty: its sequence stays used. Large values
    are files of their own, so that a record holds what changed.

    :param directory: made when the first checkpoint is saved.
    """

    name = "example"
    keeps_blobs = True

    def __init__(self, directory: str | os.PathLike[str], **options: Any) -> None:
        super().__init__(**options)
        self.directory = Path(directory).absolute()

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        parts = urlsplit(url)
        if parts.netloc or parts.query or parts.fragment or not parts.path.startswith("/"):
            raise ValueError(f"{url!r} is not a URL of the example backend; write example:///path/to/a/directory")
        return cls(unquote(parts.path), **options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.directory)!r})"

    # Each method hands its work to a thread, so that the event loop goes on. run_blocking also keeps the promise about
    # cancellation: a call that has begun is waited for, and one that has not never begins.

    async def put(self, record: Record) -> None:
        await run_blocking(self._put, record)

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        return await run_blocking(self._get, self._file(graph_id, sequence))

    async def list(self, graph_id: str | None = None) -> Listing:
        return await run_blocking(self._list, graph_id)

    async def latest(self, graph_id: str) -> CheckpointInfo | None:
        return await run_blocking(self._latest, graph_id)

    async def next_sequence(self, graph_id: str) -> int:
        return await run_blocking(self._next_sequence, graph_id)

    async def delete(self, graph_id: str, sequence: int) -> bool:
        return await run_blocking(self._delete, self._file(graph_id, sequence))

    # Optional: what the store does better than the defaults, which work by the methods above.

    async def get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
        return await run_blocking(self._get_many, graph_id, sequences)

    async def forget(self, graph_id: str) -> Sequences:
        return await run_blocking(self._forget, graph_id)

    # Large values. Without these and keeps_blobs, every record holds the whole state.

    async def put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> bool:
        await run_blocking(self._put_blobs, graph_id, blobs)
        return True

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        return await run_blocking(self._get_blobs, graph_id, names)

    async def blob_names(self, graph_id: str) -> Names:
        return await run_blocking(self._blob_names, graph_id)

    async def delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:
        await run_blocking(self._delete_blobs, graph_id, names)

    # What the threads do.

    def _put(self, record: Record) -> None:
        file = self._file(record.graph_id, record.sequence)
        with self._only_writer(f"save checkpoint {record.header.checkpoint_id!r}"):
            if file.exists():
                raise SequenceTakenError(f"Sequence {record.sequence} of graph {record.graph_id!r} was used before.")
            # Durable before the record is there: whoever sees that finds them.
            self._write_blobs(record.graph_id, record.blobs)
            self._replace(file, record.header.to_json() + b"\n" + record.payload)

    def _get(self, file: Path) -> Record | None:
        try:
            line, _, payload = file.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        return Record(_header(line, file), payload) if line else None

    def _get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
        wanted = sequences if isinstance(sequences, range) else {*sequences}  # a range may be of any length
        found = Records({})
        for file in sorted(self._files(graph_id)):
            if (sequence := _sequence(file)) in wanted:
                try:
                    record = self._get(file)
                except CheckpointDamagedError as error:
                    found.damaged.append(DamagedRecord(graph_id, sequence, place=str(file), reason=str(error)))
                    continue
                if record is not None:  # an empty file is a deleted record
                    found.records[sequence] = record
        return found

    def _list(self, graph_id: str | None) -> Listing:
        listing = Listing.of(found for file in self._files(graph_id) if (found := self._line(file, graph_id)))
        listing.infos.sort(key=lambda info: (info.graph_id, info.sequence))
        return listing

    def _latest(self, graph_id: str) -> CheckpointInfo | None:
        # An empty file is a deleted record. The last one that is not must be readable: to go on from an older one
        # would be a guess.
        for file in sorted(self._files(graph_id), reverse=True):
            record = self._get(file)
            if record is not None:
                return record.info()
        return None

    def _next_sequence(self, graph_id: str) -> int:
        return max(map(_sequence, self._files(graph_id)), default=0) + 1

    def _delete(self, file: Path) -> bool:
        if not file.exists():
            return False
        with self._only_writer(f"delete {file}"):
            return self._empty(file)

    def _empty(self, file: Path) -> bool:
        if not file.exists() or not file.stat().st_size:
            return False
        self._replace(file, b"")
        return True

    def _forget(self, graph_id: str) -> Sequences:
        files = sorted(self._files(graph_id))
        if not files:
            return []
        with self._only_writer(f"forget graph {graph_id!r}"):
            there = [file for file in files if self._empty(file)]
            # All records are gone, and their sequences still used, so whatever stops this here leaves nothing half done.
            for file in (*self._blobs(graph_id), *files):
                file.unlink(missing_ok=True)
            self._sync()
        return [_sequence(file) for file in there]

    def _put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> None:
        with self._only_writer(f"save large values of graph {graph_id!r}"):
            self._write_blobs(graph_id, blobs)

    def _write_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> None:
        for name, content in blobs.items():
            self._replace(self._blob(graph_id, name), content)

    def _get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for name in filter(is_blob_name, names):  # they are read from records, which anybody may have written
            with suppress(FileNotFoundError):
                found[name] = self._blob(graph_id, name).read_bytes()
        return found

    def _blob_names(self, graph_id: str) -> Names:
        return [file.stem.partition("-")[2] for file in self._blobs(graph_id)]

    def _delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:
        for name in filter(is_blob_name, names):
            self._blob(graph_id, name).unlink(missing_ok=True)

    def _line(self, file: Path, graph_id: str | None) -> CheckpointInfo | DamagedRecord | None:
        try:
            with file.open("rb") as opened:
                line = opened.readline().removesuffix(b"\n")
            return Record(_header(line, file), b"").info() if line else None
        except FileNotFoundError:
            return None  # its graph was forgotten since the folder was listed
        except CheckpointDamagedError as error:
            # Never left out: as long as it is there, no large value of its graph may be taken for one that nobody needs.
            return DamagedRecord(graph_id, _sequence(file), place=str(file), reason=str(error))

    def _file(self, graph_id: str, sequence: int) -> Path:
        return self.directory / f"{_hashed(graph_id)}-{sequence:020d}.record"

    def _blob(self, graph_id: str, name: str) -> Path:
        return self.directory / f"{_hashed(graph_id)}-{name}.blob"

    def _blobs(self, graph_id: str) -> Iterator[Path]:
        return self.directory.glob(f"{_hashed(graph_id)}-*.blob")

    def _files(self, graph_id: str | None) -> Iterator[Path]:
        return self.directory.glob(f"{'*' if graph_id is None else _hashed(graph_id)}-*.record")

    def _replace(self, file: Path, content: bytes) -> None:
        """Put the content in its place, all of it or nothing, durably."""
        temporary = self.directory / "unfinished"
        with temporary.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(file)
        self._sync()

    def _sync(self) -> None:
        folder = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name of the file is in the folder
        finally:
            os.close(folder)

    @contextmanager
    def _only_writer(self, doing: str) -> Generator[None]:
        """Hold the lock of the folder; the system lets go of it when the process dies."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with (self.directory / "lock").open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise BackendError(
                f"The example backend could not {doing} in {self.directory}: {error}. Check the disk and its permissions, "
                "then run again. Checkpoints saved earlier are intact."
            ) from error


def _header(line: bytes, file: Path) -> RecordHeader:
    try:
        return RecordHeader.from_json(line)
    except CheckpointDamagedError as error:
        raise CheckpointDamagedError(f"The checkpoint in {file} is damaged. {error}") from error


def _sequence(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


def _hashed(graph_id: str) -> str:
    return hashlib.sha256(graph_id.encode("utf-8", "surrogatepass")).hexdigest()
