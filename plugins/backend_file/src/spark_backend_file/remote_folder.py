"""The folder of one graph on a filesystem without ``link`` and fsync: the life of a record there, from ``put`` to ``forget``.

All is said by names in one folder, so that one listing answers what is there: a record, ``000000000042.ckpt``; the
highest sequence that was deleted, ``000000000041.floor``; an id given by hand, ``mine@000000000042``. Only large values
have a folder of their own, since a save lists this one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.storage import (
    LONGEST_HEAD,
    CheckpointInfo,
    Record,
    RecordHeader,
    automatic_id,
    check_size,
    frame,
    read_head,
    unframe,
)
from spark_backend_file.folder import GraphFolder, misplaced, no_file, refuse_deleted, sequence_taken
from spark_backend_file.names import (
    BLOBS,
    TEMPORARY,
    alias_name,
    deleted_up_to_name,
    deleted_up_to_of,
    is_leftover,
    quote,
    record_name,
    sequence_of,
    split_alias,
)
from spark_backend_file.publishing import PublishStrategy
from spark_backend_file.remote_files import (
    blob_bytes,
    delete_blobs,
    delete_folder_of_blobs,
    list_blobs,
    read_blobs,
    write_blobs,
)
from spark_backend_file.threads import CloseFile

FIRST_READ: Final = 4_096
"""Most headers are shorter than this."""
_AT_ONCE: Final = 100
_MARKS: Final = ("mtime", "created", "last_modified", "LastModified", "updated", "etag", "generation", "md5Hash")
"""By which the filesystems tell that a file is another one than before."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing says of a record's file; equal as long as it is the same file."""

    type: str
    """``"file"`` for all that can be a record."""
    size: int
    """Its length in bytes."""
    marks: tuple[str, ...]
    """Whatever else tells it from a file of the same name and length."""


@dataclass(frozen=True, slots=True)
class RemoteNames:
    """What one listing of a folder says."""

    records: dict[int, Entry] = field(default_factory=dict)
    """By sequence."""
    aliases: list[tuple[str, int]] = field(default_factory=list)
    """Quoted id and sequence of every id given by hand."""
    deleted: list[int] = field(default_factory=list)
    """Sequences that were deleted; only the highest counts."""
    temporaries: dict[str, datetime | None] = field(default_factory=dict)
    """Names of files being written, or left by a dead writer, and when they changed if that is known."""
    folders: set[str] = field(default_factory=set)
    """The names of what is a folder."""

    @property
    def sequences(self) -> list[int]:
        """Of the records that are there, in order."""
        return sorted(self.records)

    @property
    def deleted_up_to(self) -> int:
        """The highest sequence that was ever deleted, 0 for none."""
        return max(self.deleted, default=0)

    def alias_names(self, *, of: int | None = None) -> list[str]:
        """The names of the files that give records an id, or this record."""
        return [alias_name(alias, sequence) for alias, sequence in self.aliases if of in (None, sequence)]

    def leftovers(self) -> list[str]:
        """The names of the temporary files of dead writers."""
        # Where the filesystem does not tell its age, only the file of a dead process of this machine is a leftover.
        return [
            name
            for name, changed in self.temporaries.items()
            if is_leftover(name, age=time.time() - changed.timestamp() if changed else 0)
        ]


class RemoteFolder(GraphFolder[RemoteNames]):
    """One graph's folder.

    :param root: the path of the folder on its filesystem.
    :param path: the folder as messages name it.
    :param headers: those that were read before: the file's path to what the listing said of it, and its header.
    :param removes_leftovers: a save also removes the temporary files of dead writers.
    """

    def __init__(
        self,
        filesystem: Any,
        root: str,
        *,
        path: str,
        strategy: PublishStrategy,
        headers: dict[str, tuple[Entry, RecordHeader]],
        removes_leftovers: bool = False,
    ) -> None:
        super().__init__(path, root.rpartition("/")[2])
        self._filesystem = filesystem
        self._root = root
        self._strategy = strategy
        self._headers = headers
        self._removes_leftovers = removes_leftovers

    # saving

    def put(
        self, record: Record, to_delete: Sequence[int] = (), blobs: Sequence[str] = (), *, close_file: CloseFile
    ) -> list[int]:
        """Store a record, or leave nothing of it. To delete others takes further requests, so that is left to the caller.

        :raises SequenceTakenError: the record's sequence is or was in use.
        """
        header = record.header
        content = frame(record)
        names = self._listed_or_made()
        if self._removes_leftovers and self._strategy.has_folders:
            self._delete_hints(names.leftovers())
        refuse_deleted(header, names.deleted_up_to)
        if header.sequence in names.records:
            raise sequence_taken(header)
        if record.blobs:
            self._write_blobs(record.blobs, names)
        if header.manual:
            # Before the record, which so appears with its id; until then it means nothing.
            self._write_hint(alias_name(quote(header.checkpoint_id), header.sequence))
        try:
            self._strategy.publish(self._filesystem, self._root, record_name(header.sequence), content)
        except FileExistsError as error:
            raise sequence_taken(header) from error
        if self._strategy.is_exclusive:
            self._withdraw_if_deleted(header)
        return []

    def _listed_or_made(self) -> RemoteNames:
        names = self._list()
        if names is None and self._strategy.has_folders:
            self._make_folder(self._root)
        return names or RemoteNames()

    def _write_blobs(self, blobs: Mapping[str, bytes], names: RemoteNames) -> None:
        if self._strategy.has_folders and BLOBS not in names.folders:
            self._make_folder(f"{self._root}/{BLOBS}")
        write_blobs(self._filesystem, self._root, blobs, strategy=self._strategy)

    def _make_folder(self, folder: str) -> None:
        # Others make the folders above at the same time; whenever that is in the way, one more of them is there.
        for depth in range(folder.count("/"), -1, -1):
            try:
                self._filesystem.makedirs(folder, exist_ok=True)
            except Exception:
                if self._filesystem.isdir(folder):
                    return
                if not depth:
                    raise
            else:
                return

    def _withdraw_if_deleted(self, header: RecordHeader) -> None:
        # Between the first listing and the commit, others may have used this sequence and deleted it. Deleting says so
        # before it removes, so if ours could be created because theirs was deleted, it shows.
        deleted_up_to = self.names().deleted_up_to
        if header.sequence <= deleted_up_to:
            self._remove(self._file(header.sequence))
            refuse_deleted(header, deleted_up_to)

    # deleting

    def delete(self, sequence: int) -> bool:
        names = self.names()
        if sequence not in names.records:
            return False
        self._raise_deleted_up_to(sequence, names)
        if not self._remove(self._file(sequence)):
            return False
        self._delete_hints(names.alias_names(of=sequence))
        return True

    def forget(self, deleted: list[int]) -> None:
        names = self.names()
        if names.records:
            self._raise_deleted_up_to(max(names.records), names)
        for sequence in names.sequences:
            if self._remove(self._file(sequence)):
                deleted.append(sequence)  # noqa: PERF401 - those before an error are deleted as well
        delete_folder_of_blobs(self._filesystem, self._root, has_folders=self._strategy.has_folders)
        left = self._list()
        if left is None:
            return
        for name in (*left.temporaries, *left.alias_names(), *map(deleted_up_to_name, left.deleted)):
            self._remove(f"{self._root}/{name}")
        if self._strategy.has_folders:
            self._filesystem.rmdir(self._root)

    def leftovers(self, *, remove: bool) -> list[str]:
        found = self.names().leftovers()
        if remove:
            self._delete_hints(found)
        return found

    def _raise_deleted_up_to(self, sequence: int, names: RemoteNames) -> None:
        if sequence > names.deleted_up_to:
            self._write_hint(deleted_up_to_name(sequence))
        # Only lower ones than what is there: so it never sinks, whoever else raises it at the same time.
        highest = max(sequence, names.deleted_up_to)
        self._delete_hints(deleted_up_to_name(each) for each in names.deleted if each < highest)

    def _remove(self, path: str) -> bool:
        self._headers.pop(path, None)
        try:
            self._filesystem.rm_file(path)
        except FileNotFoundError:
            return False
        return True

    def _write_hint(self, name: str) -> None:
        # Its name says all. It is not empty, because some filesystems take an empty object for a folder.
        self._filesystem.pipe_file(f"{self._root}/{name}", f"{name}\n".encode())

    def _delete_hints(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(Exception):  # one that stays means nothing, and costs a line in the listing
                self._filesystem.rm_file(f"{self._root}/{name}")

    # reading

    def read(self, sequence: int) -> Record | None:
        file, place = self._file(sequence), self.place(sequence)
        try:
            status = self._filesystem.info(file)
            if status["type"] != "file":
                raise no_file(place)
            size = status["size"]
            beginning = self._bytes(file, 0, min(size, LONGEST_HEAD))
            # Only when the length is right is anything read that is as long as the file claims to be.
            check_size(read_head(beginning, place=place), size, place=place)
            return unframe(beginning + self._bytes(file, len(beginning), size), place=place)
        except FileNotFoundError:
            return None

    def put_blobs(self, blobs: Mapping[str, bytes]) -> None:
        self._write_blobs(blobs, self._listed_or_made())

    def read_blobs(self, names: Sequence[str]) -> dict[str, bytes]:
        return read_blobs(self._filesystem, self._root, names)

    def delete_blobs(self, names: Sequence[str]) -> None:
        delete_blobs(self._filesystem, self._root, names)

    def list_blobs(self) -> list[str]:
        return list_blobs(self._filesystem, self._root)

    def blob_bytes(self) -> int:
        return blob_bytes(self._filesystem, self._root)

    def names(self) -> RemoteNames:
        return self._list() or RemoteNames()

    def infos(
        self, graph_id: str | None, names: RemoteNames, sequences: Sequence[int]
    ) -> Iterator[tuple[int, CheckpointInfo | CheckpointDamagedError | None]]:
        for sequence, header in self.headers(names, sequences):
            if not isinstance(header, RecordHeader):
                yield sequence, header
            elif graph_id is None or (header.graph_id, header.sequence) != (graph_id, sequence):
                yield sequence, misplaced(self.place(sequence), header)
            else:
                yield sequence, _info(header, names.records[sequence])

    def headers(
        self, names: RemoteNames, sequences: Sequence[int]
    ) -> Iterator[tuple[int, RecordHeader | CheckpointDamagedError | None]]:
        for start in range(0, len(sequences), _AT_ONCE):
            yield from self._read_headers(names, sequences[start : start + _AT_ONCE])

    def _read_headers(
        self, names: RemoteNames, sequences: Sequence[int]
    ) -> Iterator[tuple[int, RecordHeader | CheckpointDamagedError | None]]:
        entries = {sequence: names.records[sequence] for sequence in sequences if sequence in names.records}
        known = {sequence: self._known_header(sequence, entry) for sequence, entry in entries.items()}
        beginnings = self._beginnings({each: entry.size for each, entry in entries.items() if known[each] is None})
        for sequence, entry in entries.items():
            try:
                yield sequence, known[sequence] or self._header(sequence, entry, beginnings[sequence])
            except FileNotFoundError:
                yield sequence, None
            except CheckpointDamagedError as error:
                yield sequence, error

    def _known_header(self, sequence: int, entry: Entry) -> RecordHeader | None:
        known, header = self._headers.get(self._file(sequence), (None, None))
        return header if known == entry else None

    def _beginnings(self, sizes: dict[int, int]) -> dict[int, bytes | Exception]:
        """The first bytes of each sequence of this size, in as few exchanges as the filesystem can."""
        filled = [sequence for sequence, size in sizes.items() if size]
        paths = [self._file(sequence) for sequence in filled]
        ends = [min(sizes[sequence], FIRST_READ) for sequence in filled]
        read = self._filesystem.cat_ranges(paths, [0] * len(paths), ends, on_error="return") if paths else []
        return dict.fromkeys(sizes, b"") | dict(zip(filled, read, strict=True))

    def _header(self, sequence: int, entry: Entry, beginning: bytes | Exception) -> RecordHeader:
        place = self.place(sequence)
        if entry.type != "file":
            raise no_file(place)
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

    def _bytes(self, file: str, start: int, end: int) -> bytes:
        # Many stores refuse to read nothing.
        return bytes(self._filesystem.cat_file(file, start=start, end=end)) if end > start else b""

    def _file(self, sequence: int) -> str:
        return f"{self._root}/{record_name(sequence)}"

    def _list(self) -> RemoteNames | None:
        """What is in the folder; None when there is no such folder."""
        try:
            found = self._filesystem.ls(self._root, detail=True)
        except FileNotFoundError:
            return None
        names = RemoteNames()
        for status in found:
            _sort_in(names, status["name"].rstrip("/").rpartition("/")[2], status)
        return names


def _sort_in(names: RemoteNames, name: str, status: dict[str, Any]) -> None:
    if (sequence := sequence_of(name)) is not None:
        marks = tuple(str(status.get(key)) for key in _MARKS)
        names.records[sequence] = Entry(status["type"], status["size"] or 0, marks)
    elif (deleted := deleted_up_to_of(name)) is not None:
        names.deleted.append(deleted)
    elif (alias := split_alias(name)) is not None:
        names.aliases.append(alias)
    elif name.startswith(TEMPORARY):
        names.temporaries[name] = _changed(status)
    elif status["type"] == "directory":
        names.folders.add(name)


def _changed(status: dict[str, Any]) -> datetime | None:
    changed = status.get("mtime")
    return datetime.fromtimestamp(changed, UTC) if isinstance(changed, int | float) else changed


def _info(header: RecordHeader, entry: Entry) -> CheckpointInfo:
    return CheckpointInfo(
        checkpoint_id=header.checkpoint_id if header.manual else automatic_id(header.graph_id, header.sequence),
        graph_id=header.graph_id,
        sequence=header.sequence,
        timestamp=header.timestamp,
        size=entry.size,
        manual=header.manual,
    )
