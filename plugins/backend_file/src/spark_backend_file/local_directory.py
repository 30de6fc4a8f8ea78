"""A directory on a disk of this machine: a folder per graph, made when first needed, whose own entry is durable."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import ClassVar, Final, Self

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import DamagedRecord, path_not_found
from spark_backend_file.directory import GraphDirectory, is_of_graph
from spark_backend_file.local_files import make_durable
from spark_backend_file.local_folder import LocalFolder
from spark_backend_file.names import beginning_of, begins_with, unquote


class LocalDirectory(GraphDirectory):
    """The graphs kept under one path of this machine, and what each call reaches there."""

    is_local: ClassVar[bool] = True

    @contextmanager
    def session(self, action: str, *, writes: str = "") -> Iterator[Self]:
        if not self.creates and not os.path.exists(self.path):
            raise path_not_found(self.path)
        try:
            yield self
        except OSError as error:
            raise BackendError(
                f"The file backend could not {action} in {self.path}: {error.strerror or error}. {_advice(error)} "
                "Checkpoints saved earlier are intact."
            ) from error

    def folder_names(self, beginning: str = "") -> list[str]:
        """The names of the folders of graphs, as far as they begin with a text."""
        try:
            with os.scandir(self.path) as entries:
                return [
                    entry.name
                    for entry in entries
                    if entry.name.startswith(beginning)
                    and entry.is_dir(follow_symlinks=False)
                    and is_of_graph(entry.name)
                ]
        except FileNotFoundError:
            return []

    @contextmanager
    def folder(self, name: str) -> Iterator[LocalFolder | None]:
        """The folder of a graph; None when there is none."""
        try:
            folder = LocalFolder(self.path, name)
        except FileNotFoundError:
            yield None
            return
        with folder:
            yield folder

    def folder_to_write(self, name: str) -> LocalFolder:
        """The same folder, made if need be; nothing saved in it is lost with it."""
        try:
            folder = LocalFolder(self.path, name)
        except FileNotFoundError:
            self._prepared.clear()
            _make_folder(os.path.join(self.path, name))
            folder = LocalFolder(self.path, name)
        if name not in self._prepared:
            self._prepare(folder)
        return folder

    def damaged_folders(self) -> list[DamagedRecord]:
        """Links in the places of graphs' folders, which are not followed."""
        try:
            with os.scandir(self.path) as entries:
                return [_link(entry) for entry in entries if entry.is_symlink() and is_of_graph(entry.name)]
        except FileNotFoundError:
            return []

    def forget_empty(self, prefix: str, older_than: timedelta) -> int:
        before, forgotten = time.time() - older_than.total_seconds(), 0
        with self.session("forget graphs without checkpoints") as session:
            for name in session.folder_names(beginning_of(prefix)):
                with session.folder(name) as folder:
                    if folder and begins_with(name, prefix):
                        forgotten += folder.forget_if_empty(before=before)
        return forgotten

    def _prepare(self, folder: LocalFolder) -> None:
        with ExitStack() as stack:
            stack.push(folder)
            # Whoever made a folder may have died before its entry was durable. Nothing is saved in it before we know.
            if not self._prepared:
                # The parent belongs to somebody else; where it can't be opened, the directory was there before us.
                with suppress(PermissionError):
                    make_durable(os.path.dirname(self.path))
            make_durable(self.path)
            folder.leftovers(remove=True)
            stack.pop_all()  # it stays open


def _link(entry: os.DirEntry[str]) -> DamagedRecord:
    return DamagedRecord(
        unquote(entry.name),
        None,
        entry.path,
        f"{entry.path} is a symbolic link, and not followed: checkpoints stay in their directory. Put the folder itself there.",
    )


def _make_folder(path: str, mode: int = 0o700) -> None:
    """Make a folder and those above it. Each is durable before anything is made in it."""
    with suppress(FileExistsError):
        try:
            os.mkdir(path, mode)
        except FileNotFoundError:
            _make_folder(os.path.dirname(path))
            os.mkdir(path, mode)
        make_durable(os.path.dirname(path))


def _advice(error: OSError) -> str:
    return _ADVICE.get(error.errno or 0, "Check the disk and the directory, then run again.")


_FULL: Final = "Free some space there, delete old checkpoints or choose another directory, then run again."
_DENIED: Final = "Make the directory writable for this user, or choose another one."
_FOREIGN: Final = "A symbolic link or another kind of file is where the backend keeps its own; move it away."
_NO_LINKS: Final = "This file system has no hard links, which the backend needs; choose a directory on another one."
_LOCKED: Final = (
    "It has been stopped, or died on another machine whose server still holds its lock: let it continue, or end it, then retry. "
    "Leave the file where it is; it says which sequences were used."
)
_ADVICE: Final = {
    errno.ETIMEDOUT: _LOCKED,
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
