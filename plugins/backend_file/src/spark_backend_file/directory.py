"""The graphs kept under one path, wherever that is: the methods of ``CheckpointBackend``, which block here.

``LocalDirectory`` and ``RemoteDirectory`` say how a graph's folder is reached. This is the border where errors of the filesystem
become errors of the project.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, ClassVar, Final, Protocol

from spark.errors import BackendError, CheckpointDamagedError, DeletionError
from spark.graphs.checkpoint.storage import (
    CheckpointInfo,
    CheckpointQuery,
    DamagedRecord,
    LatestHeaders,
    Listing,
    Record,
    RecordHeader,
    Records,
    Usage,
    page_of,
    parse_automatic_id,
)
from spark_backend_file.folder import GraphFolder, misplaced
from spark_backend_file.names import LAST_SEQUENCE, beginning_of, is_hashed, is_sequence, quote, unquote
from spark_backend_file.threads import CloseFile

MOST_REMEMBERED: Final = 10_000
"""Folders or headers that one object remembers at most."""
_ATTEMPTS: Final = 100


class Session(Protocol):
    """What one call reaches."""

    def folder_names(self, beginning: str = "") -> list[str]:
        """The names of the folders of graphs, as far as they begin with a text."""

    def folder(self, name: str) -> AbstractContextManager[GraphFolder[Any] | None]:
        """The folder of a graph; None when there is none."""

    def folder_to_write(self, name: str) -> AbstractContextManager[GraphFolder[Any]]:
        """The same folder, made if need be; nothing saved in it is lost with it."""

    def damaged_folders(self) -> list[DamagedRecord]:
        """What stands in the places of graphs' folders and is no folder."""


class GraphDirectory(ABC):
    """The graphs kept under one path. Instances share nothing but the filesystem."""

    is_local: ClassVar[bool]
    """It is on a disk of this machine."""

    def __init__(self, path: str) -> None:
        self.path = path
        """As messages name it."""
        self.creates = True
        """It is made where there is none; otherwise that is an error."""
        self._prepared: set[str] = set()
        """The names of folders in which this object has saved: they are durable, and leftovers were removed."""

    @abstractmethod
    def session(self, action: str, *, writes: str = "") -> AbstractContextManager[Session]:
        """Reach the graphs for one action.

        :param action: what for, in words that follow "could not".
        :param writes: the name of a graph's folder. Where the filesystem can't tell which of two writers was first, other
            writers of this process are kept out meanwhile.
        :raises BackendError: within, the filesystem failed.
        """

    def close(self) -> None:  # noqa: B027 - a disk has none
        """End connections, if there are any."""

    def put(
        self,
        record: Record,
        to_delete: Sequence[int] = (),
        blobs: Sequence[str] = (),
        *,
        close_file: CloseFile = os.close,
    ) -> list[int]:
        """See ``CheckpointBackend.put_and_delete``.

        :param close_file: closes the files that are deleted.
        """
        header = record.header
        action = f"save checkpoint {header.sequence} of graph {header.graph_id[:80]!r}"
        if not is_sequence(header.sequence):
            raise BackendError(f"The file backend can't {action}: sequences go from 1 to {LAST_SEQUENCE:,}.")
        name = quote(header.graph_id)
        with self.session(action, writes=name) as session, session.folder_to_write(name) as folder:
            deleted = folder.put(record, to_delete, blobs, close_file=close_file)
        self._remember(name)
        return deleted

    def next_sequence(self, graph_id: str) -> int:
        """See ``CheckpointBackend.next_sequence``."""
        with self._folder(f"find the next sequence of graph {graph_id[:80]!r}", graph_id) as folder:
            return folder.next_sequence() if folder else 1

    def get(self, graph_id: str, sequence: int) -> Record | None:
        """See ``CheckpointBackend.get``."""
        with self._folder(f"read checkpoint {sequence} of graph {graph_id[:80]!r}", graph_id) as folder:
            return self._read(folder, graph_id, sequence) if folder else None

    def latest(self, graph_id: str) -> CheckpointInfo | None:
        """See ``CheckpointBackend.latest``."""
        with self._folder(f"find the latest checkpoint of graph {graph_id[:80]!r}", graph_id) as folder:
            return folder.latest(graph_id) if folder else None

    def get_latest(self, graph_id: str) -> Record | None:
        """See ``CheckpointBackend.get_latest``."""
        action = f"read the latest checkpoint of graph {graph_id[:80]!r}"
        with self._folder(action, graph_id) as folder:
            for _ in range(_ATTEMPTS):
                info = folder.latest(graph_id) if folder else None
                record = self._read(folder, graph_id, info.sequence) if folder and info else None
                if info is None or record is not None:
                    return record
                # Deleted between the two, so there is a newer one, or none.
        raise BackendError(f"The file backend could not {action} in {self.path}: it is listed but can't be found.")

    def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        """See ``CheckpointBackend.find``. Of records of two graphs with one id, the higher sequence is meant."""
        with self.session(f"look for checkpoint {checkpoint_id[:80]!r}") as session:
            found = [info for name in session.folder_names() if (info := _find_in(session, name, checkpoint_id))]
            if found:
                return max(found, key=lambda info: (info.sequence, info.timestamp))
            address = parse_automatic_id(checkpoint_id)
            if address is None or not is_sequence(address[1]):
                return None
            with session.folder(quote(address[0])) as folder:
                return folder.info(*address) if folder else None

    def get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
        """See ``CheckpointBackend.get_many``."""
        found = Records({})
        with self._folder(f"read checkpoints of graph {graph_id[:80]!r}", graph_id) as folder:
            if folder is None:
                return found
            for sequence in _existing(folder, sequences):
                try:
                    if record := self._read(folder, graph_id, sequence):
                        found.records[sequence] = record
                except CheckpointDamagedError as error:
                    found.damaged.append(DamagedRecord(graph_id, sequence, folder.place(sequence), str(error)))
        return found

    def latest_headers(self, graph_ids: Sequence[str]) -> LatestHeaders:
        """See ``CheckpointBackend.latest_headers``."""
        found = LatestHeaders({})
        for graph_id in dict.fromkeys(graph_ids):
            with self._folder(f"find the latest checkpoint of graph {graph_id[:80]!r}", graph_id) as folder:
                header = folder.latest_header(graph_id) if folder else None
            if isinstance(header, DamagedRecord):
                found.damaged.append(header)
            elif header is not None:
                found.headers[graph_id] = header
        return found

    def listing(self, graph_id: str | None) -> Listing:
        """See ``CheckpointBackend.list``."""
        return Listing.of(self._everything() if graph_id is None else self._listed(graph_id, quote(graph_id)))

    def usage(self, graph_ids: Sequence[str] | None) -> dict[str, Usage]:
        """See ``CheckpointBackend.usage``."""
        with self.session("measure graphs") as session:
            damaged = [each.graph_id for each in session.damaged_folders()]
        found: dict[str, Usage] = {}
        for graph_id in self.graph_ids("", None, None) if graph_ids is None else dict.fromkeys(graph_ids):
            with self._folder(f"measure graph {graph_id[:80]!r}", graph_id) as folder:
                usage = folder.usage(graph_id) if folder else Usage(damaged=damaged.count(graph_id))
            if usage.checkpoints or usage.damaged:
                found[graph_id] = usage
        return found

    def search(self, query: CheckpointQuery) -> Listing:
        """See ``CheckpointBackend.query``; for queries about metadata, which is in headers."""
        listing = self.listing(query.graph_id)
        wanted = [info for info in query.ordered(listing.infos) if query.covers(info.timestamp)]
        found = Listing([], [*listing.damaged])
        for graph_id, infos in groupby(wanted, key=attrgetter("graph_id")):
            if query.limit is not None and len(found.infos) >= query.limit:
                break
            with self._folder(f"search the checkpoints of graph {graph_id[:80]!r}", graph_id) as folder:
                if folder is not None:
                    _search(folder, {info.sequence: info for info in infos}, query, found)
        return found

    def graph_ids(self, prefix: str, after: str | None, limit: int | None) -> list[str]:
        """See ``CheckpointBackend.graph_ids``. Records are looked for in as many folders as the page has ids."""
        with self.session("list its graphs") as session:
            names = session.folder_names(beginning_of(prefix))
            folders = {_graph_id_of(session, name): name for name in names}
            damaged = {each.graph_id for each in session.damaged_folders()}
            known = [each for each in folders.keys() | damaged if each is not None]
            wanted = page_of(known, prefix, after=after, limit=None)
            existing = (each for each in wanted if each in damaged or _has_records(session, folders[each]))
            return [*islice(existing, limit)]

    def delete(self, graph_id: str, sequence: int) -> bool:
        """See ``CheckpointBackend.delete``."""
        action = f"delete checkpoint {sequence} of graph {graph_id[:80]!r}"
        with self._folder(action, graph_id, is_writer=True) as folder:
            return folder.delete(sequence) if folder and is_sequence(sequence) else False

    def forget(self, graph_id: str) -> list[int]:
        """See ``CheckpointBackend.forget``."""
        deleted: list[int] = []
        self._prepared.discard(quote(graph_id))
        try:
            with self._folder(f"forget graph {graph_id[:80]!r}", graph_id, is_writer=True) as folder:
                if folder:
                    folder.forget(deleted)
        except BackendError as error:
            raise DeletionError(str(error), deleted=deleted) from error.__cause__
        return deleted

    def forget_empty(self, prefix: str, older_than: timedelta) -> int:
        """See ``CheckpointBackend.forget_empty``."""
        return 0

    def put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> None:
        """See ``CheckpointBackend.put_blobs``."""
        name = quote(graph_id)
        action = f"save large values of graph {graph_id[:80]!r}"
        with self.session(action, writes=name) as session, session.folder_to_write(name) as folder:
            folder.put_blobs(blobs)
        self._remember(name)

    def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        """See ``CheckpointBackend.get_blobs``."""
        with self._folder(f"read large values of graph {graph_id[:80]!r}", graph_id) as folder:
            return folder.read_blobs(names) if folder else {}

    def blob_names(self, graph_id: str) -> list[str]:
        """See ``CheckpointBackend.blob_names``."""
        with self._folder(f"list the large values of graph {graph_id[:80]!r}", graph_id) as folder:
            return folder.list_blobs() if folder else []

    def delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:
        """See ``CheckpointBackend.delete_blobs``."""
        with self._folder(f"remove large values of graph {graph_id[:80]!r}", graph_id) as folder:
            if folder:
                folder.delete_blobs(names)

    def leftovers(self, remove: bool) -> list[str]:
        """See ``CheckpointBackend.leftovers``: paths below the directory."""
        with self.session("look for leftovers") as session:
            return [found for name in sorted(session.folder_names()) for found in _leftovers_in(session, name, remove)]

    @contextmanager
    def _folder(self, action: str, graph_id: str, *, is_writer: bool = False) -> Iterator[GraphFolder[Any] | None]:
        name = quote(graph_id)
        with self.session(action, writes=name if is_writer else "") as session, session.folder(name) as folder:
            yield folder

    def _read(self, folder: GraphFolder[Any], graph_id: str, sequence: int) -> Record | None:
        record = folder.read(sequence) if is_sequence(sequence) else None
        if record and (record.header.graph_id, record.header.sequence) != (graph_id, sequence):
            raise CheckpointDamagedError(
                f"In the place of checkpoint {sequence} of graph {graph_id[:80]!r}, {self.path} holds checkpoint "
                f"{record.header.sequence} of graph {record.header.graph_id[:80]!r}. Move that file back to its place."
            )
        return record

    def _everything(self) -> Iterator[CheckpointInfo | DamagedRecord]:
        with self.session("list its graphs") as session:
            graphs = [(_graph_id_of(session, name), name) for name in session.folder_names()]
            damaged = session.damaged_folders()
        for graph_id, name in sorted(graphs, key=lambda each: each[0] or ""):
            yield from self._listed(graph_id, name)
        yield from damaged

    def _listed(self, graph_id: str | None, name: str) -> list[CheckpointInfo | DamagedRecord]:
        action = f"list the checkpoints of graph {(graph_id or name)[:80]!r}"
        with self.session(action) as session, session.folder(name) as folder:
            return [*folder.listing(graph_id)] if folder else []

    def _remember(self, name: str) -> None:
        if len(self._prepared) >= MOST_REMEMBERED:
            self._prepared.clear()
        self._prepared.add(name)


def is_of_graph(name: str) -> bool:
    """Whether the folder of a graph can have this name."""
    return is_hashed(name) or unquote(name) is not None


def _existing(folder: GraphFolder[Any], sequences: Sequence[int]) -> list[int]:
    """Those of these that are there; where they are few, all of them, in order."""
    if isinstance(sequences, range):
        return [sequence for sequence in folder.names().sequences if sequence in sequences]
    return sorted({*sequences})


def _search(
    folder: GraphFolder[Any], infos: Mapping[int, CheckpointInfo], query: CheckpointQuery, found: Listing
) -> None:
    """Add those of a graph that a query asks for, in their order, as far as its limit allows."""
    for sequence, header in folder.headers(folder.names(), [*infos]):
        if query.limit is not None and len(found.infos) >= query.limit:
            return
        info = infos[sequence]
        if isinstance(header, RecordHeader) and (header.graph_id, header.sequence) != (info.graph_id, sequence):
            header = misplaced(folder.place(sequence), header)
        if isinstance(header, CheckpointDamagedError):
            found.damaged.append(DamagedRecord(info.graph_id, sequence, folder.place(sequence), str(header)))
        elif header is not None and query.fits(header.metadata):
            found.infos.append(replace(info, metadata=header.metadata, parent=header.parent))


def _has_records(session: Session, name: str) -> bool:
    with session.folder(name) as folder:
        return folder is not None and folder.names().sequences != []


def _graph_id_of(session: Session, name: str) -> str | None:
    if not is_hashed(name):
        return unquote(name)
    with session.folder(name) as folder:
        return folder.graph_id() if folder else None


def _find_in(session: Session, name: str, checkpoint_id: str) -> CheckpointInfo | None:
    with session.folder(name) as folder:
        return folder.find(checkpoint_id) if folder else None


def _leftovers_in(session: Session, name: str, remove: bool) -> list[str]:
    with session.folder(name) as folder:
        return [f"{name}/{each}" for each in sorted(folder.leftovers(remove=remove))] if folder else []
