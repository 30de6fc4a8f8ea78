"""The folder of one graph on a disk of this machine: the life of a record there, from ``put`` to ``forget``.

docs/file-backend.md gives the reasons for the order of the calls.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from errno import ELOOP, ENXIO
from functools import cached_property
from stat import S_ISREG
from typing import Final, Self

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.storage import (
    LONGEST_HEAD,
    CheckpointInfo,
    Head,
    Record,
    RecordHeader,
    automatic_id,
    check_size,
    frame,
    read_head,
    unframe,
)
from spark_backend_file.deleted_up_to import raise_deleted_up_to, read_deleted_up_to
from spark_backend_file.folder import GraphFolder, misplaced, no_file, refuse_deleted, sequence_taken
from spark_backend_file.local_files import (
    CREATE,
    FOLDER,
    READ,
    blob_bytes,
    delete_aliases,
    delete_beside,
    delete_blobs,
    list_blobs,
    make_durable,
    names_in,
    read_aliases,
    read_blobs,
    remove_entry,
    unlink,
    write_alias,
    write_blobs,
    write_fully,
)
from spark_backend_file.names import DELETED_UP_TO, TEMPORARY, is_leftover, new_temporary, record_name, sequences_in
from spark_backend_file.threads import CloseFile

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FEW: Final = 8
"""Files that are deleted along with a save, which so takes hardly longer."""


class LocalNames:
    """What the names in the folder say, read when it is asked for.

    :param folder: a descriptor of the graph's folder.
    """

    def __init__(self, folder: int) -> None:
        self._folder = folder

    @cached_property
    def sequences(self) -> list[int]:
        """Of the records that are there, in order."""
        return sequences_in(names_in(self._folder))

    @cached_property
    def aliases(self) -> list[tuple[str, int]]:
        """Quoted id and sequence of every id given by hand."""
        return read_aliases(self._folder)

    @property
    def deleted_up_to(self) -> int:
        """The highest sequence that was ever deleted, 0 for none."""
        return read_deleted_up_to(self._folder)


class LocalFolder(GraphFolder[LocalNames]):
    """One graph's folder, held open, so that a folder put in its place meanwhile is not touched.

    :param directory: the directory of the backend.
    :param name: the quoted graph id. A symbolic link of that name is refused.
    :raises FileNotFoundError: there is no such folder.
    """

    def __init__(self, directory: str, name: str) -> None:
        super().__init__(os.path.join(directory, name), name)
        self._folder = os.open(self.path, FOLDER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._folder)

    # saving

    def put(
        self, record: Record, to_delete: Sequence[int] = (), blobs: Sequence[str] = (), *, close_file: CloseFile
    ) -> list[int]:
        header = record.header
        content = frame(record)
        refuse_deleted(header, read_deleted_up_to(self._folder))
        if record.blobs:
            write_blobs(self._folder, record.blobs)
        temporary = self._write_temporary(content, header.timestamp)
        try:
            if header.manual:
                write_alias(self._folder, header.checkpoint_id, header.sequence)
            self._link(temporary, header)
        finally:
            # Before the folder's fsync, which so makes both durable.
            self._discard(temporary)
        self._make_link_durable(header)
        return self._delete_superseded(header.sequence, to_delete, blobs, close_file) if to_delete else []

    def _write_temporary(self, content: bytes, timestamp: datetime) -> str:
        name = new_temporary()
        file = os.open(name, CREATE, 0o600, dir_fd=self._folder)
        try:
            try:
                write_fully(file, content)
                # Listings read the time from here, and so need not open the file.
                since_epoch = (timestamp - _EPOCH) // _MICROSECOND * 1000
                os.utime(file, ns=(since_epoch, since_epoch))
                # Never tried again: after a failure the kernel may have dropped the pages and report success.
                os.fsync(file)
            finally:
                os.close(file)
        except BaseException:
            self._discard(name)
            raise
        return name

    def _link(self, temporary: str, header: RecordHeader) -> None:
        """The one act by which a record comes to be: link(2) never replaces a file."""
        try:
            os.link(temporary, record_name(header.sequence), src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileExistsError as error:
            raise sequence_taken(header) from error

    def _discard(self, temporary: str) -> None:
        # What can't be removed is a leftover; the outcome of the write does not depend on it.
        with suppress(OSError):
            os.unlink(temporary, dir_fd=self._folder)

    def _make_link_durable(self, header: RecordHeader) -> None:
        try:
            # Asked again: between the first time and the link, others may have used this sequence and deleted it. Deleting
            # raises what is asked for before it unlinks, so if our link succeeded because theirs was deleted, it shows.
            refuse_deleted(header, read_deleted_up_to(self._folder))
            os.fsync(self._folder)
        except BaseException:
            self._withdraw(header.sequence)
            raise

    def _withdraw(self, sequence: int) -> None:
        # Somebody may have seen the record and continued from it, so its sequence stays used. When that can't be written
        # down the record stays, which is whole: a sequence that is used twice would be worse.
        with suppress(OSError):
            raise_deleted_up_to(self._folder, sequence, durable=False, wait=False)
            unlink(record_name(sequence), self._folder)
            self._delete_aliases([sequence])

    # deleting

    def _delete_superseded(
        self, saved: int, to_delete: Sequence[int], blobs: Sequence[str], close_file: CloseFile
    ) -> list[int]:
        """Delete records that a durable one makes superfluous, and the large values that only they need, if they are few.

        Many, or what the system refuses to remove, are left for ``delete``, which says why.

        :param saved: the sequence of the durable record, so that none of the others is the last one.
        """
        if len(to_delete) + len(blobs) > _FEW or max(to_delete) >= saved:
            return []
        deleted: list[int] = []
        # The record is saved, and a failure to delete others must not look like a failure to save.
        with suppress(OSError):
            there = [sequence for sequence in to_delete if self._exists(sequence)]
            if there:
                raise_deleted_up_to(self._folder, max(there), durable=False, wait=False)
            for sequence in there:
                if unlink(record_name(sequence), self._folder, close_file=close_file):
                    deleted.append(sequence)  # noqa: PERF401 - those before an error are deleted as well
            self._delete_aliases(deleted)
            try:
                if blobs:
                    delete_blobs(self._folder, blobs, close_file=close_file)
            except OSError:
                # So that the caller deletes that one again, and the large values, and hears why it can't be done.
                del deleted[-1:]
        return deleted

    def delete(self, sequence: int) -> bool:
        """Remove a record, never to use its sequence again; False when there is none.

        An older record that is removed may be back after a power failure, whole, which does no harm. The last one may not:
        a run would resume from it.
        """
        if not self._exists(sequence):
            return False
        is_last = not self._exists(sequence + 1) and self.names().sequences[-1:] <= [sequence]
        raise_deleted_up_to(self._folder, sequence, durable=is_last)
        if not unlink(record_name(sequence), self._folder):
            return False
        self._delete_aliases([sequence])
        if is_last:
            os.fsync(self._folder)
        return True

    def forget(self, deleted: list[int]) -> None:
        """Remove all there is, and the folder.

        Records are removed first, and durably: none ever stands there without its large values. ``deleted_up_to`` is removed
        last: until then no sequence can be used again, and a call that was stopped on the way is completed by another one.

        :param deleted: takes the sequences of records that were there, as they go.
        """
        sequences = self.names().sequences
        if sequences:
            raise_deleted_up_to(self._folder, max(sequences), durable=True)
        for sequence in sequences:
            if remove_entry(record_name(sequence), self._folder):
                deleted.append(sequence)  # noqa: PERF401 - those before an error are deleted as well
        os.fsync(self._folder)
        delete_beside(self._folder)
        for name in names_in(self._folder):
            if name.startswith(TEMPORARY):
                remove_entry(name, self._folder)
        remove_entry(DELETED_UP_TO, self._folder)
        with suppress(FileNotFoundError):
            os.rmdir(self.path)
        make_durable(os.path.dirname(self.path))

    def forget_if_empty(self, *, before: float) -> bool:
        """Remove the folder if for so long nothing has been in it but ``deleted_up_to``; whether that was so.

        :param before: seconds since the epoch.
        """
        if os.fstat(self._folder).st_mtime >= before or set(names_in(self._folder)) - {DELETED_UP_TO}:
            return False
        remove_entry(DELETED_UP_TO, self._folder)
        with suppress(OSError):  # somebody uses it again
            os.rmdir(self.path)
        return True

    def _delete_aliases(self, sequences: Sequence[int]) -> None:
        with suppress(OSError):  # without its record an alias means nothing
            delete_aliases(self._folder, sequences)

    def leftovers(self, *, remove: bool) -> list[str]:
        found = [name for name in names_in(self._folder) if name.startswith(TEMPORARY) and self._is_leftover(name)]
        if remove:
            for name in found:
                self._discard(name)
        return found

    def _is_leftover(self, name: str) -> bool:
        try:
            status = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        # The change time is the system's own; the modification time is the checkpoint's.
        return is_leftover(name, age=time.time() - status.st_ctime)

    # reading

    def read(self, sequence: int) -> Record | None:
        record = self._open(sequence)
        if record is None:
            return None
        place = self.place(sequence)
        try:
            head, beginning, size = self._read_head(record, place)
            # Only now is anything read that is as long as the file claims to be.
            check_size(head, size, place=place)
            return unframe(_read_to_end(record, beginning, size), place=place)
        finally:
            os.close(record)

    def names(self) -> LocalNames:
        return LocalNames(self._folder)

    def headers(
        self, names: LocalNames, sequences: Sequence[int]
    ) -> Iterator[tuple[int, RecordHeader | CheckpointDamagedError | None]]:
        for sequence in sequences:
            try:
                yield sequence, self._header(sequence)
            except CheckpointDamagedError as error:
                yield sequence, error

    def infos(
        self, graph_id: str | None, names: LocalNames, sequences: Sequence[int]
    ) -> Iterator[tuple[int, CheckpointInfo | CheckpointDamagedError | None]]:
        aliased = {sequence for _, sequence in names.aliases}
        for sequence in sequences:
            try:
                yield sequence, self._info(graph_id, sequence, is_aliased=sequence in aliased)
            except CheckpointDamagedError as error:
                yield sequence, error

    def _info(self, graph_id: str | None, sequence: int, *, is_aliased: bool) -> CheckpointInfo | None:
        try:
            status = os.stat(record_name(sequence), dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not S_ISREG(status.st_mode):
            raise no_file(self.place(sequence))
        header = self._header(sequence) if is_aliased or graph_id is None else None
        if graph_id is None:
            if header is None:
                return None
            raise misplaced(self.place(sequence), header)  # or this folder's graph would be known
        is_manual = header is not None and header.manual
        return CheckpointInfo(
            checkpoint_id=header.checkpoint_id if header and is_manual else automatic_id(graph_id, sequence),
            graph_id=graph_id,
            sequence=sequence,
            timestamp=_EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000),
            size=status.st_size,
            manual=is_manual,
        )

    def put_blobs(self, blobs: Mapping[str, bytes]) -> None:
        write_blobs(self._folder, blobs)

    def read_blobs(self, names: Sequence[str]) -> dict[str, bytes]:
        return read_blobs(self._folder, names)

    def delete_blobs(self, names: Sequence[str]) -> None:
        delete_blobs(self._folder, names)

    def list_blobs(self) -> list[str]:
        return list_blobs(self._folder)

    def blob_bytes(self) -> int:
        return blob_bytes(self._folder)

    def _header(self, sequence: int) -> RecordHeader | None:
        record = self._open(sequence)
        if record is None:
            return None
        try:
            return self._read_head(record, self.place(sequence))[0].header
        finally:
            os.close(record)

    def _exists(self, sequence: int) -> bool:
        try:
            os.stat(record_name(sequence), dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _open(self, sequence: int) -> int | None:
        try:
            return os.open(record_name(sequence), READ, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in (ELOOP, ENXIO):
                raise
            raise no_file(self.place(sequence)) from error  # a symbolic link, which is not followed, or a socket

    def _read_head(self, record: int, place: str) -> tuple[Head, bytes, int]:
        status = os.fstat(record)
        if not S_ISREG(status.st_mode):
            raise no_file(place)
        beginning = os.read(record, LONGEST_HEAD)
        return read_head(beginning, place=place), beginning, status.st_size


def _read_to_end(file: int, beginning: bytes, size: int) -> bytes:
    pieces, missing = [beginning], size - len(beginning)
    while missing > 0 and (piece := os.read(file, missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
