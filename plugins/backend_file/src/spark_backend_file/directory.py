"""The directory of a backend: a folder per graph, made when first needed. Every function here blocks.

This is the border where errors of the operating system become errors of the project.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from spark.errors import BackendError, CheckpointDamagedError, DeletionError
from spark.graphs.checkpoint.storage import CheckpointInfo, DamagedRecord, Listing, Record, parse_automatic_id
from spark_backend_file.folder import GraphFolder
from spark_backend_file.names import LAST_SEQUENCE, is_hashed, is_sequence, quote, unquote
from spark_backend_file.unlinking import Release

_REMEMBERED: Final = 10_000


class CheckpointDirectory:
    """The graphs kept under one path. Instances share nothing but the file system."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._settled: set[str] = set()

    def put(
        self, record: Record, to_delete: Sequence[int] = (), blobs: Sequence[str] = (), *, release: Release = os.close
    ) -> list[int]:
        """See ``CheckpointBackend.put_and_delete``.

        :param release: see ``unlink``.
        """
        header = record.header
        action = f"save checkpoint {header.sequence} of graph {header.graph_id[:80]!r}"
        if not is_sequence(header.sequence):
            raise BackendError(f"The file backend can't {action}: sequences go from 1 to {LAST_SEQUENCE:,}.")
        with self._told(action), self._settled_folder(quote(header.graph_id)) as folder:
            folder.add(record)
            return (
                folder.delete_superseded(to_delete, blobs, before=header.sequence, release=release) if to_delete else []
            )

    def get(self, graph_id: str, sequence: int) -> Record | None:
        """See ``CheckpointBackend.get``."""
        with self._told(f"read checkpoint {sequence} of graph {graph_id[:80]!r}"), self._folder(graph_id) as folder:
            record = folder.read(sequence) if folder and is_sequence(sequence) else None
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
        with self._told(f"find the latest checkpoint of graph {graph_id[:80]!r}"), self._folder(graph_id) as folder:
            return folder.latest(graph_id) if folder else None

    def get_latest(self, graph_id: str) -> Record | None:
        """See ``CheckpointBackend.get_latest``."""
        while info := self.latest(graph_id):
            record = self.get(graph_id, info.sequence)
            if record is not None:
                return record  # else it was deleted between the two
        return None

    def next_sequence(self, graph_id: str) -> int:
        """See ``CheckpointBackend.next_sequence``."""
        with self._told(f"find the next sequence of graph {graph_id[:80]!r}"), self._folder(graph_id) as folder:
            return folder.next_sequence() if folder else 1

    def delete(self, graph_id: str, sequence: int) -> bool:
        """See ``CheckpointBackend.delete``."""
        with self._told(f"delete checkpoint {sequence} of graph {graph_id[:80]!r}"), self._folder(graph_id) as folder:
            return folder.remove(sequence) if folder and is_sequence(sequence) else False

    def forget(self, graph_id: str) -> list[int]:
        """See ``CheckpointBackend.forget``."""
        deleted: list[int] = []
        self._settled.discard(quote(graph_id))
        try:
            with self._told(f"forget graph {graph_id[:80]!r}"), self._folder(graph_id) as folder:
                if folder:
                    folder.forget(deleted)
                    _make_durable(self.path)
        except BackendError as error:
            raise DeletionError(str(error), deleted=deleted) from error.__cause__
        return deleted

    def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        """See ``CheckpointBackend.get_blobs``."""
        with self._told(f"read large values of graph {graph_id[:80]!r}"), self._folder(graph_id) as folder:
            return folder.blobs(names) if folder else {}

    def delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:
        """See ``CheckpointBackend.delete_blobs``."""
        with self._told(f"remove large values of graph {graph_id[:80]!r}"), self._folder(graph_id) as folder:
            if folder:
                folder.remove_blobs(names)

    def blob_names(self, graph_id: str) -> list[str]:
        """See ``CheckpointBackend.blob_names``."""
        with self._told(f"list the large values of graph {graph_id[:80]!r}"), self._folder(graph_id) as folder:
            return folder.blob_names() if folder else []

    def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        """See ``CheckpointBackend.find``. Of records of two graphs with one id, the higher sequence is meant."""
        with self._told(f"look for checkpoint {checkpoint_id[:80]!r}"):
            given = [info for name in self._folder_names() if (info := self._find_in(name, checkpoint_id))]
            if given:
                return max(given, key=lambda info: (info.sequence, info.timestamp))
            address = parse_automatic_id(checkpoint_id)
            if address is None or not is_sequence(address[1]):
                return None
            with self._folder(address[0]) as folder:
                return folder.info(*address) if folder else None

    def leftovers(self, remove: bool) -> list[str]:
        """See ``CheckpointBackend.leftovers``: paths below the directory."""
        with self._told("look for leftovers"):
            return [found for name in sorted(self._folder_names()) for found in self._leftovers_in(name, remove)]

    @contextmanager
    def _folder(self, graph_id: str) -> Iterator[GraphFolder | None]:
        try:
            folder = GraphFolder(self.path, quote(graph_id))
        except FileNotFoundError:
            yield None
            return
        with folder:
            yield folder

    def _find_in(self, name: str, checkpoint_id: str) -> CheckpointInfo | None:
        with suppress(FileNotFoundError), GraphFolder(self.path, name) as folder:
            return folder.find(checkpoint_id)
        return None

    def _leftovers_in(self, name: str, remove: bool) -> list[str]:
        with suppress(FileNotFoundError), GraphFolder(self.path, name) as folder:
            found = sorted(folder.leftovers())
            if remove:
                folder.sweep()
            return [f"{name}/{each}" for each in found]
        return []

    def _everything(self) -> Iterator[CheckpointInfo | DamagedRecord]:
        with self._told("list its graphs"):
            names = self._folder_names()
            graph_ids = [(self._graph_id_of(name), name) for name in names]
            links = self._links()
        for graph_id, name in sorted(graph_ids, key=lambda each: each[0] or ""):
            yield from self._found(graph_id, name)
        yield from links

    def _found(self, graph_id: str | None, name: str) -> list[CheckpointInfo | DamagedRecord]:
        with self._told(f"list the checkpoints of graph {(graph_id or name)[:80]!r}"):
            with suppress(FileNotFoundError), GraphFolder(self.path, name) as folder:
                return [*folder.found(graph_id)]
            return []

    def _graph_id_of(self, name: str) -> str | None:
        if not is_hashed(name):
            return unquote(name)
        with suppress(FileNotFoundError), GraphFolder(self.path, name) as folder:
            return folder.graph_id()
        return None

    def _folder_names(self) -> list[str]:
        try:
            with os.scandir(self.path) as entries:
                return [entry.name for entry in entries if _is_of_graph(entry) and entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []

    def _links(self) -> list[DamagedRecord]:
        """Links in the places of graphs' folders, which are not followed."""
        try:
            with os.scandir(self.path) as entries:
                return [
                    DamagedRecord(
                        unquote(entry.name),
                        None,
                        entry.path,
                        f"{entry.path} is a symbolic link, and not followed: checkpoints stay in their directory. Put the folder "
                        "itself there.",
                    )
                    for entry in entries
                    if _is_of_graph(entry) and entry.is_symlink()
                ]
        except FileNotFoundError:
            return []

    @contextmanager
    def _settled_folder(self, name: str) -> Iterator[GraphFolder]:
        """The graph's folder, made if need be, whose own entry is durable."""
        try:
            folder = GraphFolder(self.path, name)
        except FileNotFoundError:
            self._settled.clear()
            _make_folder(os.path.join(self.path, name))
            folder = GraphFolder(self.path, name)
        with folder:
            if name not in self._settled:
                self._settle(folder, name)
            yield folder

    def _settle(self, folder: GraphFolder, name: str) -> None:
        # Whoever made a folder may have died before its entry was durable. Nothing is saved in it before we know.
        if not self._settled:
            # The parent belongs to somebody else; where it can't be opened, the directory was there before us.
            with suppress(PermissionError):
                _make_durable(os.path.dirname(self.path))
        _make_durable(self.path)
        folder.sweep()
        if len(self._settled) >= _REMEMBERED:
            self._settled.clear()
        self._settled.add(name)

    @contextmanager
    def _told(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BackendError(
                f"The file backend could not {action} in {self.path}: {error.strerror or error}. {_advice(error)} "
                "Checkpoints saved earlier are intact."
            ) from error


def _is_of_graph(entry: os.DirEntry[str]) -> bool:
    return is_hashed(entry.name) or unquote(entry.name) is not None


def _make_folder(path: str, mode: int = 0o700) -> None:
    """Make a folder and those above it. Each is durable before anything is made in it."""
    with suppress(FileExistsError):
        try:
            os.mkdir(path, mode)
        except FileNotFoundError:
            _make_folder(os.path.dirname(path))
            os.mkdir(path, mode)
        _make_durable(os.path.dirname(path))


def _make_durable(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _advice(error: OSError) -> str:
    return _ADVICE.get(error.errno or 0, "Check the disk and the directory, then run again.")


_FULL: Final = "Free some space there, delete old checkpoints or choose another directory, then run again."
_DENIED: Final = "Make the directory writable for this user, or choose another one."
_FOREIGN: Final = "A symbolic link or another kind of file stands where the backend keeps its own; move it away."
_NO_LINKS: Final = "This file system has no hard links, which the backend needs; choose a directory on another one."
_HELD: Final = (
    "It has been stopped, or died on another machine whose server still keeps its lock: let it go on, or end it, and try again. "
    "Leave the file where it is; it says which sequences were used."
)
_ADVICE: Final = {
    errno.ETIMEDOUT: _HELD,
    errno.ENXIO: _FOREIGN,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "The checkpoint exceeds the size limit for files (ulimit -f); raise it, or keep less in the state.",
    errno.EROFS: _DENIED,
    errno.EACCES: _DENIED,
    errno.EPERM: f"{_DENIED} It must also be on a file system that has hard links.",
    errno.ELOOP: _FOREIGN,
    errno.ENOTDIR: _FOREIGN,
    errno.EISDIR: _FOREIGN,
    errno.EOPNOTSUPP: _NO_LINKS,
    errno.ENOSYS: _NO_LINKS,
    errno.EMLINK: _NO_LINKS,
    errno.EMFILE: "Too many files are open in this process; close some, or raise the limit (ulimit -n).",
}
