"""A folder of a filesystem that fsspec speaks to, as a directory of graphs.

docs/file-backend.md says what is promised there, and what is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any, ClassVar, Final

from spark.errors import BackendError, SparkError
from spark.graphs.checkpoint.storage import DamagedRecord, RecordHeader, renew_after_fork, store_not_found
from spark_backend_file.connection import Connection
from spark_backend_file.directory import MOST_REMEMBERED, GraphDirectory, is_of_graph
from spark_backend_file.publishing import strategy_for
from spark_backend_file.remote_folder import Entry, RemoteFolder
from spark_backend_file.threads import locked

_SHARED_LOCKS: Final = 64


class RemoteDirectory(GraphDirectory):
    """The graphs kept in one folder of a filesystem that has no ``link`` and no fsync.

    Within one process, writers of a graph take turns, so exactly one of them gets a sequence. Between processes that
    holds where the filesystem refuses to replace (``PublishStrategy.is_exclusive``); elsewhere it is the user's duty that one
    process at a time writes a graph id.
    """

    is_local: ClassVar[bool] = False

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.shown)
        self._connection = connection
        self._strategy = strategy_for(connection.protocol)
        self._headers: dict[str, tuple[Entry, RecordHeader]] = {}
        self._was_found = False

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def session(self, action: str, *, writes: str = "") -> Iterator[RemoteSession]:
        try:
            # The lock before the connection: whoever waits for the one must not keep the other from others.
            with self._only_writer(writes), self._connection.filesystem() as (filesystem, root):
                if not self.creates and not self._was_found:
                    self._find(filesystem, root)
                yield RemoteSession(self, filesystem, root)
        except SparkError:
            raise
        except Exception as error:
            cause = self._connection.cleaned(error)
            raise BackendError(_failed(action, self.path, error, cause)) from cause

    def _find(self, filesystem: Any, root: str) -> None:
        if root and not filesystem.exists(root):
            raise store_not_found(self.path, "there is no such folder")
        self._was_found = True

    def _only_writer(self, name: str) -> AbstractContextManager[None]:
        return locked(WRITER_LOCKS.of(f"{self.path}/{name}"), f"a folder in {self.path}") if name else nullcontext()

    def opened(self, name: str, filesystem: Any, root: str, *, to_write: bool = False) -> RemoteFolder:
        """The folder of a graph."""
        if len(self._headers) >= MOST_REMEMBERED:
            self._headers.clear()
        return RemoteFolder(
            filesystem,
            # Without a root, a path is relative to wherever the filesystem begins.
            f"{root.rstrip('/')}/{name}" if root else name,
            path=f"{self.path}/{name}",
            strategy=self._strategy,
            headers=self._headers,
            removes_leftovers=to_write and name not in self._prepared,
        )


@dataclass(frozen=True)
class RemoteSession:
    """What one call reaches over a connection."""

    directory: RemoteDirectory
    filesystem: Any
    root: str

    def folder_names(self, beginning: str = "") -> list[str]:
        """The names of the folders of graphs, as far as they begin with a text."""
        try:
            found = self.filesystem.ls(self.root, detail=True)
        except FileNotFoundError:
            return []
        names = (status["name"].rstrip("/").rpartition("/")[2] for status in found if status["type"] == "directory")
        return [name for name in names if name.startswith(beginning) and is_of_graph(name)]

    @contextmanager
    def folder(self, name: str) -> Iterator[RemoteFolder]:
        """The folder of a graph; empty when there is none."""
        yield self.directory.opened(name, self.filesystem, self.root)

    @contextmanager
    def folder_to_write(self, name: str) -> Iterator[RemoteFolder]:
        """The same folder, in which a save also removes leftovers the first time."""
        yield self.directory.opened(name, self.filesystem, self.root, to_write=True)

    def damaged_folders(self) -> list[DamagedRecord]:
        """Always empty: these filesystems don't distinguish a link from what it leads to."""
        return []


class _WriterLocks:
    """The locks of whoever writes in a place, in all of this process; a few places share one."""

    def __init__(self) -> None:
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        # One that another thread held at the moment of the fork would never be released in the child.
        self._locks = [Lock() for _ in range(_SHARED_LOCKS)]

    def of(self, place: str) -> Lock:
        return self._locks[hash(place) % _SHARED_LOCKS]


WRITER_LOCKS: Final = _WriterLocks()


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
        return "Create the bucket, container or folder that the URL names, or check its spelling."
    if isinstance(error, PermissionError):
        return "Give this user the right to list, read, write and delete there."
    if isinstance(error, NotImplementedError):
        return "This filesystem can't be written to; choose another one."
    return "Check the server, the URL and the credentials, then run again."
