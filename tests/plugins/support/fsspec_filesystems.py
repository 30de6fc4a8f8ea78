"""Filesystems for fsspec with habits that its memory filesystem lacks; both keep their files in that one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.memory import MemoryFileSystem


class CachingMemory(MemoryFileSystem):
    """Remembers its listings, as those of object stores do."""

    protocol = "caching-memory"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("caching-memory://"))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        path = self._strip_protocol(path)
        if path not in self.dircache:
            self.dircache[path] = super().ls(path, detail=True)
            return super().ls(path, detail=detail)
        return self.dircache[path] if detail else [status["name"] for status in self.dircache[path]]


class Session:
    """What an asynchronous filesystem holds open."""

    closed = False

    async def close(self) -> None:
        self.closed = True


class AsyncMemory(AsyncFileSystem):
    """Works in fsspec's own event loop, with a session that it opens for itself."""

    protocol = "async-memory"
    sessions: ClassVar[dict[str, list[Session]]] = {}
    under_way = 0
    most_at_once = 0
    """So many transfers at the same time."""

    def __init__(self, mark: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._session = Session()
        self.sessions.setdefault(mark, []).append(self._session)
        self._memory = fsspec.filesystem("memory")

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.removeprefix("async-memory://"))

    async def _ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        return self._memory.ls(path, detail=detail)

    async def _info(self, path: str, **kwargs: Any) -> Any:
        return self._memory.info(path)

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        async with self._transfer():
            self._memory.pipe_file(path, value, mode=mode)

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        async with self._transfer():
            return self._memory.cat_file(path, start=start, end=end)

    @asynccontextmanager
    async def _transfer(self) -> AsyncIterator[None]:
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await asyncio.sleep(0)
        yield
        self.under_way -= 1

    async def _cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        self._memory.cp_file(path1, path2)

    async def _rm_file(self, path: str, **kwargs: Any) -> None:
        self._memory.rm_file(path)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._memory.makedirs(path, exist_ok=exist_ok)
