"""Any backend, with faults on demand: a call fails, hangs, or is done and its answer lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, TypeVar

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import (
    CheckpointBackend,
    CheckpointInfo,
    CheckpointQuery,
    LatestHeaders,
    Listing,
    Record,
    RecordCodec,
    Records,
    Usage,
)

Answer = TypeVar("Answer")


@dataclass
class Fault:
    """Something that goes wrong once."""

    method: str
    countdown: int
    """Calls of the method until it happens; 1 is the next."""
    what: Literal["fail", "hang", "lose answer"]
    error: BaseException
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has happened."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """Set it to let a call that hangs continue."""


class FaultyBackend(CheckpointBackend):
    """Another backend, real in everything but the faults that were ordered.

    :param inner: where the records are; closing closes it.
    """

    def __init__(self, inner: CheckpointBackend) -> None:
        super().__init__()
        self.inner = inner
        self.record_codec: RecordCodec = inner.record_codec
        self.name: str = inner.name
        self.keeps_blobs: bool = inner.keeps_blobs
        self.blob_cost: int = inner.blob_cost
        self.persistent: bool = inner.persistent  # type: ignore[misc]
        self.calls: list[str] = []
        """The methods that were called, in order."""
        self._faults: list[Fault] = []

    def fail(self, method: str, *, at: int = 1, error: BaseException | None = None) -> Fault:
        """Have a call raise before anything is done.

        :param method: for instance ``"put"``.
        :param at: which of its calls from now on; 1 is the next.
        :param error: what to raise; a ``BackendError`` by default.
        """
        return self._order(method, at, "fail", error)

    def lose_answer(self, method: str, *, at: int = 1, error: BaseException | None = None) -> Fault:
        """Have a call raise after everything was done, as when a connection breaks at the wrong moment."""
        return self._order(method, at, "lose answer", error)

    def hang(self, method: str, *, at: int = 1) -> Fault:
        """Have a call wait before anything is done, until the fault's ``released`` is set or it is cancelled."""
        return self._order(method, at, "hang", None)

    def _order(
        self, method: str, at: int, what: Literal["fail", "hang", "lose answer"], error: BaseException | None
    ) -> Fault:
        if method not in _METHODS or at < 1:
            raise ValueError(
                f"{what} {method!r} at={at}: the methods are {', '.join(_METHODS)}, and calls count from 1."
            )
        fault = Fault(method, at, what, error or BackendError(f"A fault was ordered: {what} in {method}."))
        self._faults.append(fault)
        return fault

    async def _call(self, method: str, act: Callable[[], Awaitable[Answer]]) -> Answer:
        self.calls.append(method)
        fault = self._due(method)
        if fault is None:
            return await act()
        fault.reached.set()
        if fault.what == "fail":
            raise fault.error
        if fault.what == "hang":
            await fault.released.wait()
            return await act()
        await act()
        raise fault.error

    def _due(self, method: str) -> Fault | None:
        due = None
        for fault in [fault for fault in self._faults if fault.method == method]:
            fault.countdown -= 1
            if not fault.countdown:
                self._faults.remove(fault)
                due = due or fault
        return due

    async def put(self, record: Record) -> None:
        await self._call("put", lambda: self.inner.put(record))

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> Any:
        return await self._call("put_and_delete", lambda: self.inner.put_and_delete(record, to_delete, blobs))

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        return await self._call("get", lambda: self.inner.get(graph_id, sequence))

    async def query(self, query: CheckpointQuery) -> Listing:
        return await self._call("query", lambda: self.inner.query(query))

    async def latest(self, graph_id: str) -> CheckpointInfo | None:
        return await self._call("latest", lambda: self.inner.latest(graph_id))

    async def get_latest(self, graph_id: str) -> Record | None:
        return await self._call("get_latest", lambda: self.inner.get_latest(graph_id))

    async def get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
        return await self._call("get_many", lambda: self.inner.get_many(graph_id, sequences))

    async def latest_headers(self, graph_ids: Sequence[str]) -> LatestHeaders:
        return await self._call("latest_headers", lambda: self.inner.latest_headers(graph_ids))

    async def latest_runs(
        self,
        prefix: str = "",
        *,
        after: str | None = None,
        limit: int | None = None,
        reasons: Collection[str] | None = None,
    ) -> LatestHeaders:
        return await self._call(
            "latest_runs", lambda: self.inner.latest_runs(prefix, after=after, limit=limit, reasons=reasons)
        )

    async def graph_ids(self, prefix: str = "", *, after: str | None = None, limit: int | None = None) -> Any:
        return await self._call("graph_ids", lambda: self.inner.graph_ids(prefix, after=after, limit=limit))

    async def next_sequence(self, graph_id: str) -> int:
        return await self._call("next_sequence", lambda: self.inner.next_sequence(graph_id))

    async def delete(self, graph_id: str, sequence: int) -> bool:
        return await self._call("delete", lambda: self.inner.delete(graph_id, sequence))

    async def delete_many(self, graph_id: str, sequences: Sequence[int]) -> Any:
        return await self._call("delete_many", lambda: self.inner.delete_many(graph_id, sequences))

    async def forget(self, graph_id: str) -> Any:
        return await self._call("forget", lambda: self.inner.forget(graph_id))

    async def forget_empty(self, prefix: str, *, older_than: timedelta) -> int:
        return await self._call("forget_empty", lambda: self.inner.forget_empty(prefix, older_than=older_than))

    async def put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> bool:
        return await self._call("put_blobs", lambda: self.inner.put_blobs(graph_id, blobs))

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        return await self._call("get_blobs", lambda: self.inner.get_blobs(graph_id, names))

    async def delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:
        await self._call("delete_blobs", lambda: self.inner.delete_blobs(graph_id, names))

    async def blob_names(self, graph_id: str) -> Any:
        return await self._call("blob_names", lambda: self.inner.blob_names(graph_id))

    async def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        return await self._call("find", lambda: self.inner.find(checkpoint_id))

    async def list(self, graph_id: str | None = None) -> Listing:
        return await self._call("list", lambda: self.inner.list(graph_id))

    async def usage(self, graph_ids: Sequence[str] | None = None) -> dict[str, Usage]:
        return await self._call("usage", lambda: self.inner.usage(graph_ids))

    async def leftovers(self, *, remove: bool = False) -> Any:
        return await self._call("leftovers", lambda: self.inner.leftovers(remove=remove))

    async def close(self) -> None:
        await self._call("close", self.inner.close)


_METHODS = [
    name for name in vars(FaultyBackend) if asyncio.iscoroutinefunction(vars(FaultyBackend)[name]) and name[0] != "_"
]
"""What may go wrong."""
