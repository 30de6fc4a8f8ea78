"""The folder of one graph, wherever it is: what is read of its records, and the errors about them. Everything here blocks.

``LocalFolder`` and ``RemoteFolder`` say how a record is written and deleted there. Errors of the filesystem leave them as they
are; the directory turns them into errors of the project.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from spark.errors import CheckpointDamagedError, SequenceTakenError
from spark.graphs.checkpoint.storage import CheckpointInfo, DamagedRecord, Record, RecordHeader, Usage
from spark_backend_file.names import is_hashed, quote, record_name, unquote
from spark_backend_file.threads import CloseFile


class FolderNames(Protocol):
    """What the names in a graph's folder say."""

    @property
    def sequences(self) -> list[int]:
        """Of the records that are there, in order."""

    @property
    def aliases(self) -> list[tuple[str, int]]:
        """Quoted id and sequence of every id given by hand."""

    @property
    def deleted_up_to(self) -> int:
        """The highest sequence that was ever deleted, 0 for none."""


Names = TypeVar("Names", bound=FolderNames)


class GraphFolder(ABC, Generic[Names]):
    """The records of one graph.

    :param path: of the folder, as messages name it.
    :param name: of the folder: the quoted graph id.
    """

    def __init__(self, path: str, name: str) -> None:
        self.path = path
        self.name = name

    @abstractmethod
    def put(
        self, record: Record, to_delete: Sequence[int] = (), blobs: Sequence[str] = (), *, close_file: CloseFile
    ) -> list[int]:
        """Store a record, or leave nothing of it; then delete those that it makes superfluous, where that costs no further wait.

        :param blobs: names of large values that only records among ``to_delete`` need.
        :param close_file: closes the files that are deleted.
        :return: the sequences of those that were there and are deleted.
        :raises SequenceTakenError: the record's sequence is or was in use.
        """

    @abstractmethod
    def read(self, sequence: int) -> Record | None:
        """The record with this sequence, or None."""

    @abstractmethod
    def delete(self, sequence: int) -> bool:
        """Remove a record, never to use its sequence again; False when there is none."""

    @abstractmethod
    def forget(self, deleted: list[int]) -> None:
        """Remove all there is, and the folder: records first, and ``deleted_up_to`` last.

        :param deleted: takes the sequences of records that were there, as they go.
        """

    @abstractmethod
    def leftovers(self, *, remove: bool) -> list[str]:
        """The names of the temporary files of dead writers; those that can be removed are, if asked for."""

    @abstractmethod
    def names(self) -> Names:
        """What is in the folder now."""

    @abstractmethod
    def headers(
        self, names: Names, sequences: Sequence[int]
    ) -> Iterator[tuple[int, RecordHeader | CheckpointDamagedError | None]]:
        """The header of each of these records, as far as they are there; the error for one that is damaged, None for one that
        is deleted meanwhile."""

    @abstractmethod
    def infos(
        self, graph_id: str | None, names: Names, sequences: Sequence[int]
    ) -> Iterator[tuple[int, CheckpointInfo | CheckpointDamagedError | None]]:
        """The line of each of these records, as ``headers`` gives their headers.

        :param graph_id: None where no record can tell it, so that all of them are damaged.
        """

    @abstractmethod
    def put_blobs(self, blobs: Mapping[str, bytes]) -> None:
        """Store large values, before the record that will refer to them."""

    @abstractmethod
    def read_blobs(self, names: Sequence[str]) -> dict[str, bytes]:
        """Name to content of those large values that are there."""

    @abstractmethod
    def delete_blobs(self, names: Sequence[str]) -> None:
        """Remove large values that no record needs."""

    @abstractmethod
    def list_blobs(self) -> list[str]:
        """The names of all large values."""

    @abstractmethod
    def blob_bytes(self) -> int:
        """How many bytes all large values take up."""

    def usage(self, graph_id: str | None) -> Usage:
        """What the graph takes up. Only what is damaged without a look into its file is counted so."""
        found = [*self.listing(graph_id)]
        infos = [each for each in found if isinstance(each, CheckpointInfo)]
        return Usage(len(infos), sum(info.size for info in infos) + self.blob_bytes(), len(found) - len(infos))

    def next_sequence(self) -> int:
        """The lowest sequence above every one that was ever used here."""
        names = self.names()
        return max(max(names.sequences, default=0), names.deleted_up_to) + 1

    def listing(self, graph_id: str | None) -> Iterator[CheckpointInfo | DamagedRecord]:
        """A line for every record, by sequence, or what is damaged in its place.

        :param graph_id: None where no record can tell it, so that all of them are damaged.
        """
        names = self.names()
        for sequence, info in self.infos(graph_id, names, names.sequences):
            if isinstance(info, CheckpointDamagedError):
                yield DamagedRecord(graph_id, sequence, self.place(sequence), str(info))
            elif info is not None:
                yield info

    def latest(self, graph_id: str) -> CheckpointInfo | None:
        """The line of the last record.

        :raises CheckpointDamagedError: what stands in the last place is no record; to pass it over would be a guess.
        """
        names = self.names()
        infos = (self.info(graph_id, sequence, names) for sequence in reversed(names.sequences))
        return next((info for info in infos if info), None)

    def latest_header(self, graph_id: str) -> RecordHeader | DamagedRecord | None:
        """The header of the last record, or what is damaged in its place; None when there is no record."""
        names = self.names()
        for sequence in reversed(names.sequences):
            for _, header in self.headers(names, [sequence]):
                if isinstance(header, RecordHeader) and (header.graph_id, header.sequence) != (graph_id, sequence):
                    header = misplaced(self.place(sequence), header)
                if isinstance(header, CheckpointDamagedError):
                    return DamagedRecord(graph_id, sequence, self.place(sequence), str(header))
                if header is not None:
                    return header
        return None

    def info(self, graph_id: str, sequence: int, names: Names | None = None) -> CheckpointInfo | None:
        """The line of one record, or None.

        :raises CheckpointDamagedError: what stands in its place is no record.
        """
        for _, info in self.infos(graph_id, names or self.names(), [sequence]):
            if isinstance(info, CheckpointDamagedError):
                raise info
            return info
        return None

    def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        """The last record that was given this id by hand."""
        names, name = self.names(), quote(checkpoint_id)
        for sequence in sorted({found for alias, found in names.aliases if alias == name}, reverse=True):
            graph_id = self.graph_id(names)
            info = self.info(graph_id, sequence, names) if graph_id is not None else None
            if info and info.manual and info.checkpoint_id == checkpoint_id:
                return info
        return None

    def graph_id(self, names: Names | None = None) -> str | None:
        """The graph that this folder belongs to; None when no record can tell."""
        if not is_hashed(self.name):
            return unquote(self.name)
        names = names or self.names()
        for _, header in self.headers(names, names.sequences):
            if isinstance(header, RecordHeader) and quote(header.graph_id) == self.name:
                return header.graph_id
        return None

    def place(self, sequence: int) -> str:
        """The file of a record, as messages name it."""
        return f"{self.path}/{record_name(sequence)}"


def refuse_deleted(header: RecordHeader, deleted_up_to: int) -> None:
    """
    :raises SequenceTakenError: the record's sequence was used before.
    """
    if header.sequence <= deleted_up_to:
        raise sequence_taken(header, "was used before and its checkpoint, or a later one, has been deleted")


def sequence_taken(header: RecordHeader, reason: str = "is in use") -> SequenceTakenError:
    """The error for a record whose sequence is or was in use."""
    return SequenceTakenError(
        f"The file backend did not save checkpoint {header.sequence} of graph {header.graph_id[:80]!r}: this sequence "
        f"{reason}. Nothing was written. Read the latest checkpoint and continue from there."
    )


def misplaced(place: str, header: RecordHeader) -> CheckpointDamagedError:
    """The error for a record that stands in the place of another one."""
    return CheckpointDamagedError(
        f"{place} holds checkpoint {header.sequence} of graph {header.graph_id[:80]!r}, which belongs elsewhere. Move that "
        "file back to its place."
    )


def no_file(place: str) -> CheckpointDamagedError:
    """The error for a folder, a pipe or a symbolic link in the place of a record."""
    return CheckpointDamagedError(f"{place} is not a file, so it is not a checkpoint. Remove it, or restore the file.")
