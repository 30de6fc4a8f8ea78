"""The file backend: the promise of ``CheckpointBackend``, kept with a directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

from spark.graphs.checkpoint import CheckpointBackend
from spark_backend_file.directory import CheckpointDirectory
from spark_backend_file.worker import Worker

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointInfo, CheckpointSerializer, Format, Record


class FileCheckpointBackend(CheckpointBackend):
    """Keeps checkpoints as files, one for each, in a folder per graph.

    :param directory: where; made when the first checkpoint is saved.
    :param format: how the payload is written.
    :param compression: True or ``"gzip"`` to compress it.
    :param pretty_print: indent it, where the format is readable.
    :param serializer: turns objects of your own into plain values and back.
    """

    name = "file"

    def __init__(
        self,
        directory: str | os.PathLike[str],
        format: str | Format = "json",
        compression: bool | str = False,
        pretty_print: bool = False,
        serializer: CheckpointSerializer | None = None,
    ) -> None:
        super().__init__(format=format, compression=compression, pretty_print=pretty_print, serializer=serializer)
        self.directory = _absolute(directory)
        self._files = CheckpointDirectory(self.directory)
        self._worker = Worker("file backend")

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The backend of the directory that ``file:///path/to/directory`` names.

        :raises ValueError: the URL names a host, holds a query, or no absolute path.
        """
        parts = urlsplit(url)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ValueError(f"{url!r} is no URL of the file backend; write file:///absolute/path, with three slashes.")
        if parts.query or parts.fragment:
            raise ValueError(
                f"{url!r} holds a query or fragment, which the file backend does not take; pass options by keyword to "
                "FileCheckpointBackend, and write %3F and %23 for ? and # in the path."
            )
        return cls(unquote(parts.path, errors="strict"), **options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.directory!r})"

    async def put(self, record: Record) -> None:
        await self._worker.run(self._files.put, record)

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        return await self._worker.run(self._files.get, graph_id, sequence)

    async def list(self, graph_id: str | None = None) -> list[CheckpointInfo]:
        return await self._worker.run(self._files.infos, graph_id)

    async def latest(self, graph_id: str) -> CheckpointInfo | None:
        return await self._worker.run(self._files.latest, graph_id)

    async def next_sequence(self, graph_id: str) -> int:
        return await self._worker.run(self._files.next_sequence, graph_id)

    async def delete(self, graph_id: str, sequence: int) -> bool:
        return await self._worker.run(self._files.delete, graph_id, sequence)

    async def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        return await self._worker.run(self._files.find, checkpoint_id)

    async def close(self) -> None:
        await self._worker.close()


def _absolute(directory: str | os.PathLike[str]) -> str:
    path = os.fspath(directory)
    if not isinstance(path, str):
        raise TypeError(f"The directory of the file backend is a str or a path, not {type(path).__name__}.")
    if not path or "\0" in path:
        raise ValueError(f"The directory of the file backend can't be {path!r}; name one, for instance 'checkpoints'.")
    # Absolute from now on, whatever the program's working directory becomes.
    return os.path.abspath(path)
