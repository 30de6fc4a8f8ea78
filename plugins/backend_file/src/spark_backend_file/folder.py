"""The records of one graph: how one is written, read, listed and removed. Every function here blocks.

How a record is written, and why in this order, is told in docs/file-backend.md. Errors of the operating system leave
this file as they are; ``directory.py`` turns them into the errors of the project.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from stat import S_ISREG
from typing import Final, Self

from spark.errors import CheckpointDamagedError, SequenceTakenError
from spark.graphs.checkpoint.storage import (
    LONGEST_HEAD,
    CheckpointInfo,
    DamagedRecord,
    Head,
    Record,
    RecordHeader,
    automatic_id,
    check_size,
    frame,
    read_head,
    unframe,
)
from spark_backend_file.aliases import add_alias, read_aliases, remove_aliases
from spark_backend_file.blobs import add_blobs, blob_names, read_blobs, remove_blobs
from spark_backend_file.floor import raise_floor, read_floor
from spark_backend_file.forgetting import empty_folder
from spark_backend_file.names import is_hashed, quote, record_name, sequence_of, unquote
from spark_backend_file.temporaries import PREFIX, is_leftover, new_temporary
from spark_backend_file.unlinking import Release, unlink
from spark_backend_file.writing import write_fully

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# O_NONBLOCK, so that a pipe put in the place of a record is found out instead of waited for.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FEW: Final = 8
"""Files that are removed along with a save, which so takes hardly longer."""


class GraphFolder:
    """One graph's folder, held open, so that a folder put in its place meanwhile is not touched.

    :param directory: the directory of the backend.
    :param name: the quoted graph id. A symbolic link of that name is refused.
    :raises FileNotFoundError: there is no such folder.
    """

    def __init__(self, directory: str, name: str) -> None:
        self.path = os.path.join(directory, name)
        self._name = name
        self._folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._folder)

    def add(self, record: Record) -> None:
        """Store a record durably, or leave nothing of it.

        :raises SequenceTakenError: its sequence is or was in use.
        """
        header = record.header
        content = frame(record)
        self._refuse_deleted(header)
        if record.blobs:
            add_blobs(self._folder, record.blobs)
        temporary = self._write_temporary(content, header.timestamp)
        try:
            if header.manual:
                add_alias(self._folder, header.checkpoint_id, header.sequence)
            self._link(temporary, header)
        finally:
            # Before the folder's fsync, which so makes both durable.
            self._discard(temporary)
        try:
            # Asked again: between the first time and the link, others may have used this sequence and deleted it.
            # Deleting raises the floor before it unlinks, so if our link succeeded because theirs was gone, it shows.
            self._refuse_deleted(header)
            os.fsync(self._folder)
        except BaseException:
            self._withdraw(header.sequence)
            raise

    def read(self, sequence: int) -> Record | None:
        """The record with this sequence, or None."""
        record = self._open(sequence)
        if record is None:
            return None
        place = self._place(sequence)
        try:
            head, beginning, size = self._read_head(record, place)
            # Only now is anything read that is as long as the file claims to be.
            check_size(head, size, place=place)
            return unframe(_read_to_end(record, beginning, size), place=place)
        finally:
            os.close(record)

    def blobs(self, names: Sequence[str]) -> dict[str, bytes]:
        """Name to content of those large values that are there."""
        return read_blobs(self._folder, names)

    def blob_names(self) -> list[str]:
        """The names of all large values."""
        return blob_names(self._folder)

    def remove_blobs(self, names: Sequence[str]) -> None:
        """Remove large values that nobody needs."""
        remove_blobs(self._folder, names)

    def header(self, sequence: int) -> RecordHeader | None:
        """The header of the record with this sequence, or None; the payload is not read."""
        record = self._open(sequence)
        if record is None:
            return None
        try:
            return self._read_head(record, self._place(sequence))[0].header
        finally:
            os.close(record)

    def sequences(self) -> list[int]:
        """Every sequence in use, in order. It reads names only."""
        return sorted(found for found in map(sequence_of, os.listdir(self._folder)) if found is not None)

    def next_sequence(self) -> int:
        """The lowest sequence above every one that was ever used here."""
        return max(max(self.sequences(), default=0), read_floor(self._folder)) + 1

    def found(self, graph_id: str | None) -> Iterator[CheckpointInfo | DamagedRecord]:
        """A line for every record, by sequence, or what is damaged in its place.

        :param graph_id: None where no record can tell it, so that all of them are damaged.
        """
        aliased = self._aliased()
        for sequence in self.sequences():
            try:
                info = self._line(graph_id, sequence, aliased=sequence in aliased)
            except CheckpointDamagedError as error:
                yield DamagedRecord(graph_id, sequence, self._place(sequence), str(error))
            else:
                if info is not None:  # else it was deleted meanwhile
                    yield info

    def latest(self, graph_id: str) -> CheckpointInfo | None:
        """The line of the last record.

        :raises CheckpointDamagedError: what stands in the last place is no record; to pass it over would be a guess.
        """
        aliased = self._aliased()
        infos = (self._info(graph_id, found, aliased=found in aliased) for found in reversed(self.sequences()))
        return next((info for info in infos if info), None)

    def info(self, graph_id: str, sequence: int) -> CheckpointInfo | None:
        """The line of one record."""
        return self._info(graph_id, sequence, aliased=sequence in self._aliased())

    def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        """The last record that was given this id by hand."""
        name = quote(checkpoint_id)
        for sequence in sorted((found for alias, found in read_aliases(self._folder) if alias == name), reverse=True):
            graph_id = self.graph_id()
            info = self._info(graph_id, sequence, aliased=True) if graph_id else None
            if info and info.manual and info.checkpoint_id == checkpoint_id:
                return info
        return None

    def graph_id(self) -> str | None:
        """The graph that this folder belongs to; None when no record can tell."""
        if not is_hashed(self._name):
            return unquote(self._name)
        for sequence in self.sequences():
            with suppress(CheckpointDamagedError):
                header = self.header(sequence)
                if header and quote(header.graph_id) == self._name:
                    return header.graph_id
        return None

    def remove(self, sequence: int) -> bool:
        """Remove a record, never to use its sequence again; False when there is none.

        An older record that is removed may be back after a power failure: whole, and no trouble to anybody. The last
        one may not: it would be continued from.
        """
        if not self._exists(record_name(sequence)):
            return False
        is_last = not self._exists(record_name(sequence + 1)) and self.sequences()[-1:] <= [sequence]
        raise_floor(self._folder, sequence, durable=is_last)
        if not unlink(record_name(sequence), self._folder):
            return False
        self._forget_ids([sequence])
        if is_last:
            os.fsync(self._folder)
        return True

    def forget(self, deleted: list[int]) -> None:
        """Remove all there is, and the folder.

        :param deleted: takes the sequences of records that were there, as they go.
        """
        empty_folder(self._folder, self.sequences(), deleted)
        with suppress(FileNotFoundError):
            os.rmdir(self.path)

    def delete_superseded(
        self, to_delete: Sequence[int], blobs: Sequence[str], *, before: int, release: Release
    ) -> list[int]:
        """Remove records that a durable one makes superfluous, and the large values that only they need, if they are few.

        Many, or what the system refuses to remove, are left for ``remove``, which says why.

        :param before: the sequence of the durable record, so that none of these is the last one.
        :param release: see ``unlink``.
        :return: the sequences of those that were there and are gone.
        """
        if len(to_delete) + len(blobs) > _FEW or max(to_delete) >= before:
            return []
        deleted: list[int] = []
        # The record has just been saved, and nothing that goes wrong here may look as if it were not.
        with suppress(OSError):
            there = [sequence for sequence in to_delete if self._exists(record_name(sequence))]
            if there:
                raise_floor(self._folder, max(there), durable=False, wait=False)
            for sequence in there:
                if unlink(record_name(sequence), self._folder, release):
                    deleted.append(sequence)  # noqa: PERF401 - those before an error are gone as well
            self._forget_ids(deleted)
            self._remove_last(blobs, deleted, release)
        return deleted

    def _remove_last(self, blobs: Sequence[str], deleted: list[int], release: Release) -> None:
        """Remove large values; or, to have somebody try again who says why it can't be done, let a record count as not gone."""
        try:
            if blobs:
                remove_blobs(self._folder, blobs, release)
        except OSError:
            del deleted[-1:]

    def sweep(self) -> None:
        """Remove the temporary files of writers that are gone."""
        for name in self.leftovers():
            self._discard(name)

    def leftovers(self) -> list[str]:
        """The names of the temporary files of writers that are gone."""
        found = []
        for name in os.listdir(self._folder):
            if not name.startswith(PREFIX):
                continue
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
                # The change time is the system's own; the modification time is the checkpoint's.
                if is_leftover(name, age=time.time() - status.st_ctime):
                    found.append(name)
        return found

    def _refuse_deleted(self, header: RecordHeader) -> None:
        if header.sequence <= read_floor(self._folder):
            raise _taken(header, "was used before and its checkpoint, or a later one, has been deleted")

    def _write_temporary(self, content: bytes, timestamp: datetime) -> str:
        name = new_temporary()
        temporary = os.open(name, _CREATE, 0o600, dir_fd=self._folder)
        try:
            try:
                write_fully(temporary, content)
                # Listings read the time from here, and so need not open the file.
                since_epoch = (timestamp - _EPOCH) // _MICROSECOND * 1000
                os.utime(temporary, ns=(since_epoch, since_epoch))
                # Never tried again: after a failure the kernel may have dropped the pages and report success.
                os.fsync(temporary)
            finally:
                os.close(temporary)
        except BaseException:
            self._discard(name)
            raise
        return name

    def _link(self, temporary: str, header: RecordHeader) -> None:
        """The one act by which a record comes to be: link(2) never replaces a file."""
        try:
            os.link(temporary, record_name(header.sequence), src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileExistsError as error:
            raise _taken(header, "is in use") from error

    def _withdraw(self, sequence: int) -> None:
        # Somebody may have seen the record and gone on from it, so its sequence stays used. When the floor can't be
        # raised the record stays, which is whole: a sequence that is used twice would be worse.
        with suppress(OSError):
            raise_floor(self._folder, sequence, durable=False, wait=False)
            unlink(record_name(sequence), self._folder)
            self._forget_ids([sequence])

    def _forget_ids(self, sequences: Sequence[int]) -> None:
        with suppress(OSError):  # without its record an alias means nothing
            remove_aliases(self._folder, sequences)

    def _discard(self, temporary: str) -> None:
        # What can't be removed is swept later; the outcome of the write does not depend on it.
        with suppress(OSError):
            os.unlink(temporary, dir_fd=self._folder)

    def _exists(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _aliased(self) -> set[int]:
        return {sequence for _, sequence in read_aliases(self._folder)}

    def _line(self, graph_id: str | None, sequence: int, *, aliased: bool) -> CheckpointInfo | None:
        if graph_id is not None:
            return self._info(graph_id, sequence, aliased=aliased)
        if header := self.header(sequence):
            raise misplaced(self._place(sequence), header)  # or this folder's graph would be known
        return None

    def _info(self, graph_id: str, sequence: int, *, aliased: bool) -> CheckpointInfo | None:
        try:
            status = os.stat(record_name(sequence), dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not S_ISREG(status.st_mode):
            raise CheckpointDamagedError(
                f"{self._place(sequence)} stands in the place of a checkpoint and is no file. Remove it, or restore the file."
            )
        header = self.header(sequence) if aliased else None
        manual = header is not None and header.manual
        return CheckpointInfo(
            checkpoint_id=header.checkpoint_id if header and manual else automatic_id(graph_id, sequence),
            graph_id=graph_id,
            sequence=sequence,
            timestamp=_EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000),
            size=status.st_size,
            manual=manual,
        )

    def _open(self, sequence: int) -> int | None:
        try:
            return os.open(record_name(sequence), _READ, dir_fd=self._folder)
        except FileNotFoundError:
            return None

    def _read_head(self, record: int, place: str) -> tuple[Head, bytes, int]:
        status = os.fstat(record)
        if not S_ISREG(status.st_mode):
            raise CheckpointDamagedError(
                f"{place} is not a file, so it is no checkpoint. Remove it, or restore the file."
            )
        beginning = os.read(record, LONGEST_HEAD)
        return read_head(beginning, place=place), beginning, status.st_size

    def _place(self, sequence: int) -> str:
        return os.path.join(self.path, record_name(sequence))


def _read_to_end(file: int, beginning: bytes, size: int) -> bytes:
    pieces, missing = [beginning], size - len(beginning)
    while missing > 0 and (piece := os.read(file, missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def misplaced(place: str, header: RecordHeader) -> CheckpointDamagedError:
    """The error for a record that stands in the place of another one."""
    return CheckpointDamagedError(
        f"In {place} stands checkpoint {header.sequence} of graph {header.graph_id[:80]!r}, which belongs elsewhere. Move that "
        "file back to its place."
    )


def _taken(header: RecordHeader, reason: str) -> SequenceTakenError:
    return SequenceTakenError(
        f"The file backend did not save checkpoint {header.sequence} of graph {header.graph_id[:80]!r}: this sequence "
        f"{reason}. Nothing was written. Read the latest checkpoint and continue from there."
    )
