"""How a record comes to stand under its name on a filesystem without ``link``: whole, and never over another one.

Which strategy is taken depends on what the filesystem can do; docs/file-backend.md says what follows from it. Each
raises FileExistsError when the name is taken; then nothing was written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any, ClassVar, Final

from spark_backend_file.names import new_temporary


class PublishStrategy(ABC):
    """One way to publish."""

    is_exclusive: ClassVar[bool]
    """The store itself refuses the slower of two processes that write one name at the same time."""
    has_folders: ClassVar[bool]
    """A folder must be made before anything is written in it."""

    @abstractmethod
    def publish(self, filesystem: Any, folder: str, name: str, content: bytes) -> None:
        """Let the content appear under this name, whole, if nothing is there."""

    def publish_once(self, filesystem: Any, folder: str, files: Mapping[str, bytes]) -> None:
        """The same for files whose names always stand for the same content: one that is there is left as it is.

        :param files: name below the folder to content.
        """
        for name, content in files.items():
            with suppress(FileExistsError):
                self.publish(filesystem, folder, name, content)


class CreateWhole(PublishStrategy):
    """One request that says "if absent": of a store where an object appears when it is complete."""

    is_exclusive = True
    has_folders = False

    def publish(self, filesystem: Any, folder: str, name: str, content: bytes) -> None:
        filesystem.pipe_file(f"{folder}/{name}", content, mode="create")

    def publish_once(self, filesystem: Any, folder: str, files: Mapping[str, bytes]) -> None:
        # Several at a time. One that is there is replaced by itself: whoever reads it gets the one or the other.
        filesystem.pipe({f"{folder}/{name}": content for name, content in files.items()})


class CreateInMemory(CreateWhole):
    """The same in fsspec's memory filesystem, which checks and then writes; no other process ever sees it."""

    is_exclusive = False


class RenameOverSftp(PublishStrategy):
    """A temporary file, and then SFTP's rename, which does not replace: OpenSSH makes it with ``link``."""

    is_exclusive = True
    has_folders = True

    def publish(self, filesystem: Any, folder: str, name: str, content: bytes) -> None:
        temporary, target = f"{folder}/{new_temporary()}", f"{folder}/{name}"
        try:
            # It sends without waiting for each answer, and asks for the size in the end.
            filesystem.ftp.putfo(BytesIO(content), temporary, file_size=len(content), confirm=True)
            # fsspec's own mv is posix-rename, which replaces.
            filesystem.ftp.rename(temporary, target)
        except BaseException as error:
            _discard(filesystem, temporary)
            # In this version of the protocol, a name that is taken has no error number of its own.
            if isinstance(error, OSError) and _exists(filesystem, target):
                raise FileExistsError(target) from error
            raise


class MoveIntoPlace(PublishStrategy):
    """A temporary file, a check whether the name is free, and a move: for filesystems of which nothing better is known."""

    is_exclusive = False
    has_folders = True

    def publish(self, filesystem: Any, folder: str, name: str, content: bytes) -> None:
        temporary, target = f"{folder}/{new_temporary()}", f"{folder}/{name}"
        try:
            filesystem.pipe_file(temporary, content)
            if _exists(filesystem, target):
                raise FileExistsError(target)
            filesystem.mv(temporary, target)
        except BaseException:
            _discard(filesystem, temporary)
            raise


_STRATEGIES: Final[dict[str, PublishStrategy]] = {
    **dict.fromkeys(("gs", "gcs", "az", "abfs", "abfss"), CreateWhole()),
    **dict.fromkeys(("sftp", "ssh"), RenameOverSftp()),
    "memory": CreateInMemory(),
}


def strategy_for(protocol: str) -> PublishStrategy:
    """How to publish on the filesystem that fsspec knows by this name."""
    return _STRATEGIES.get(protocol) or MoveIntoPlace()


def _exists(filesystem: Any, path: str) -> bool:
    # Not fsspec's exists(), which takes every error for an absence.
    try:
        filesystem.info(path)
    except FileNotFoundError:
        return False
    return True


def _discard(filesystem: Any, temporary: str) -> None:
    # What can't be removed is a leftover; the outcome does not depend on it.
    with suppress(Exception):
        filesystem.rm_file(temporary)
