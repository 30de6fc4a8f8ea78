"""The directory of a backend on a filesystem that fsspec speaks to: the verbs of ``CheckpointDirectory``. They block.

This is the border where errors of the filesystem become errors of the project. What is promised here, and what is
not, is told in docs/file-backend.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any, Final

from spark.errors import BackendError, CheckpointDamagedError, DeletionError, SparkError
from spark.graphs.checkpoint.storage import (
    CheckpointInfo,
    DamagedRecord,
    Listing,
    Record,
    RecordHeader,
    parse_automatic_id,
)
from spark_backend_file.connection import Connection
from spark_backend_file.listing import Entry
from spark_backend_file.names import LAST_SEQUENCE, is_hashed, is_sequence, quote, unquote
from spark_backend_file.publishing import way_of
from spark_backend_file.remote_folder import RemoteFolder
from spark_backend_file.waiting import held

_REMEMBERED: Final = 10_000
_SHARED_LOCKS: Final = 64


class RemoteDirectory:
    """The graphs kept in one folder of a filesystem that has no ``link`` and no fsync.

    Within one process, writers of a graph take turns, so exactly one of them gets a sequence. Between processes that
    holds where the filesystem refuses to replace (``Way.arbitrates``); elsewhere it is the user's duty that one process
    at a time writes a graph id.
    """

    def __init__(self, connection: Connection) -> None:
        self.path = connection.shown
        """The URL without its secrets."""
        self._connection = connection
        self._way = way_of(connection.protocol)
        self._headers: dict[str, tuple[Entry, RecordHeader]] = {}
        self._swept: set[str] = set()

    def put(self, record: Record) -> None:
        """See ``CheckpointBackend.put``."""
        header = record.header
        action = f"save checkpoint {header.sequence} of graph {header.graph_id[:80]!r}"
        if not is_sequence(header.sequence):
            raise BackendError(f"The file backend can't {action}: sequences go from 1 to {LAST_SEQUENCE:,}.")
        with self._folder(action, header.graph_id, writing=True) as folder:
            folder.add(record, sweep=self._way.has_folders and header.graph_id not in self._swept)
        if len(self._swept) >= _REMEMBERED:
            self._swept.clear()
        self._swept.add(header.graph_id)

    def get(self, graph_id: str, sequence: int) -> Record | None:
        """See ``CheckpointBackend.get``."""
        with self._folder(f"read checkpoint {sequence} of graph {graph_id[:80]!r}", graph_id) as folder:
            record = folder.read(sequence) if is_sequence(sequence) else None
        if record and (record.header.graph_id, record.header.sequence) != (graph_id, sequence):
            raise CheckpointDamagedError(
                f"In the place of checkpoint {sequence} of graph {graph_id[:80]!r} in {self.path} stands checkpoint "
                f"{record.header.sequence} of graph {record.header.graph_id[:80]!r}. Move that file back to its place."
            )
        return record

    def listing(self, graph_id: str | None) -> Listing:
        """See ``CheckpointBackend.list``."""
        return Listing.of(self._everything() if graph_id is None else self._found(graph_id, quote(graph_id)))

    def latest(self, graph_id: str) -> CheckpointInfo | None:
        """See ``CheckpointBackend.latest``."""
        with self._folder(f"find the latest checkpoint of graph {graph_id[:80]!r}", graph_id) as folder:
            return folder.latest(graph_id)

    def next_sequence(self, graph_id: str) -> int:
        """See ``CheckpointBackend.next_sequence``."""
        with self._folder(f"find the next sequence of graph {graph_id[:80]!r}", graph_id) as folder:
            return folder.next_sequence()

    def delete(self, graph_id: str, sequence: int) -> bool:
        """See ``CheckpointBackend.delete``."""
        action = f"delete checkpoint {sequence} of graph {graph_id[:80]!r}"
        with self._folder(action, graph_id, writing=True) as folder:
            return folder.remove(sequence)

    def forget(self, graph_id: str) -> list[int]:
        """See ``CheckpointBackend.forget``."""
        deleted: list[int] = []
        try:
            with self._folder(f"forget graph {graph_id[:80]!r}", graph_id, writing=True) as folder:
                folder.forget(deleted)
        except BackendError as error:
            raise DeletionError(str(error), deleted=deleted) from error.__cause__
        self._swept.discard(graph_id)
        return deleted

    def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        """See ``CheckpointBackend.find``. Of records of two graphs with one id, the higher sequence is meant."""
        with self._told(f"look for checkpoint {checkpoint_id[:80]!r}") as (filesystem, root):
            folders = [self._folder_named(name, filesystem, root) for name in _folder_names(filesystem, root)]
            given = [info for folder in folders if (info := folder.find(checkpoint_id))]
            if given:
                return max(given, key=lambda info: (info.sequence, info.timestamp))
            address = parse_automatic_id(checkpoint_id)
            return self._folder_named(quote(address[0]), filesystem, root).info(*address) if address else None

    def leftovers(self, remove: bool) -> list[str]:
        """See ``CheckpointBackend.leftovers``: paths below the folder."""
        with self._told("look for leftovers") as (filesystem, root):
            return [
                f"{name}/{each}"
                for name in sorted(_folder_names(filesystem, root))
                for each in self._folder_named(name, filesystem, root).leftovers(remove)
            ]

    def close(self) -> None:
        """End the connections."""
        self._connection.close()

    @contextmanager
    def _folder(self, action: str, graph_id: str, *, writing: bool = False) -> Iterator[RemoteFolder]:
        name = quote(graph_id)
        if not writing:
            with self._told(action) as (filesystem, root):
                yield self._folder_named(name, filesystem, root)
            return
        # The turn first: whoever waits for it must not keep the connection from others.
        with self._taking_turns(action, name), self._told(action) as (filesystem, root):
            yield self._folder_named(name, filesystem, root)

    @contextmanager
    def _taking_turns(self, action: str, name: str) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(held(_turn(f"{self.path}/{name}"), f"a folder in {self.path}"))
            except TimeoutError as error:
                raise BackendError(_failed(action, self.path, error, error)) from error
            yield

    def _folder_named(self, name: str, filesystem: Any, root: str) -> RemoteFolder:
        if len(self._headers) >= _REMEMBERED:
            self._headers.clear()
        # Without a root, a path is relative to wherever the filesystem begins.
        path = f"{root.rstrip('/')}/{name}" if root else name
        return RemoteFolder(filesystem, path, shown=f"{self.path}/{name}", way=self._way, headers=self._headers)

    def _everything(self) -> Iterator[CheckpointInfo | DamagedRecord]:
        with self._told("list its graphs") as (filesystem, root):
            names = _folder_names(filesystem, root)
            graph_ids = [(self._folder_named(name, filesystem, root).graph_id(), name) for name in names]
        for graph_id, name in sorted(graph_ids, key=lambda each: each[0] or ""):
            yield from self._found(graph_id, name)

    def _found(self, graph_id: str | None, name: str) -> list[CheckpointInfo | DamagedRecord]:
        with self._told(f"list the checkpoints of graph {(graph_id or name)[:80]!r}") as (filesystem, root):
            return [*self._folder_named(name, filesystem, root).found(graph_id)]

    @contextmanager
    def _told(self, action: str) -> Iterator[tuple[Any, str]]:
        try:
            with self._connection.filesystem() as opened:
                yield opened
        except SparkError:
            raise
        except Exception as error:
            cause = self._connection.cleaned(error)
            raise BackendError(_failed(action, self.path, error, cause)) from cause


def _folder_names(filesystem: Any, root: str) -> list[str]:
    try:
        found = filesystem.ls(root, detail=True)
    except FileNotFoundError:
        return []
    names = (status["name"].rstrip("/").rpartition("/")[2] for status in found if status["type"] == "directory")
    return [name for name in names if is_hashed(name) or unquote(name) is not None]


_LOCKS: list[Lock] = [Lock() for _ in range(_SHARED_LOCKS)]


def _turn(place: str) -> Lock:
    """The lock of whoever writes there, in all of this process; a few places share one."""
    return _LOCKS[hash(place) % _SHARED_LOCKS]


def _renew_locks() -> None:
    # One that was held by another thread at the moment of the fork would never be released in the child.
    _LOCKS[:] = [Lock() for _ in range(_SHARED_LOCKS)]


os.register_at_fork(after_in_child=_renew_locks)


def _failed(action: str, place: str, error: Exception, cause: Exception) -> str:
    return (
        f"The file backend could not {action} in {place}: {_text_of(cause)}. {_advice(error)} "
        "Checkpoints saved earlier are intact."
    )


def _text_of(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(" .")
    return text if isinstance(error, BackendError) else f"{type(error).__name__}: {text}".rstrip(" :")


def _advice(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "Make the bucket, container or folder that the URL names, or check its spelling."
    if isinstance(error, PermissionError):
        return "Give this user the right to list, read, write and delete there."
    if isinstance(error, NotImplementedError):
        return "This filesystem can't be written to; choose another one."
    return "Check the server, the URL and the credentials, then run again."
