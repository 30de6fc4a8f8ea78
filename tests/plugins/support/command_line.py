"""The ``spark`` command called from tests, and stores with something in them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointInfo,
    CheckpointManager,
    GraphCheckpoint,
    open_backend,
)
from spark.graphs.checkpoint.storage import Record, RecordCodec, automatic_id
from spark_cli.main import main


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: object
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def spark(*arguments: str) -> Done:
    """Call the command within this process."""
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(each) for each in arguments])
        except SystemExit as end:
            code = end.code
    return Done(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def workplace_with(module: str, source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a module in it, of which nothing stays behind."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SPARK_CHECKPOINT_URL", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (folder / f"{module}.py").write_text(source)
    yield folder
    sys.modules.pop(module, None)


class Count(Node):
    """Counts to what it is told to."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        return {"to": context.inputs["to"], "done": count >= context.inputs["to"]}


def counting_graph(config: CheckpointConfig | None = None, *, graph_id: str = "counting") -> Graph:
    count = Count()
    count.on(done=False) >> count
    count.on(done=True) >> ExitNode()
    return Graph(start=count, id=graph_id, checkpoint_config=config)


def fill(url: str, *, graph_id: str = "counting", to: int = 4) -> None:
    """Let a graph write a checkpoint for each of its steps into a store: one more than it counts to.

    What would make a new store is run once in a process, and then copied.
    """
    kind, _, place = url.partition("://")
    path = Path(place.removeprefix("/") if kind == "sqlite" else place)
    if kind not in ("file", "sqlite") or "?" in url or path.exists():
        _run_counting(url, graph_id, to)
    elif kind == "file":
        shutil.copytree(_filled(kind, graph_id, to), path)
    else:
        shutil.copy2(_filled(kind, graph_id, to), path)


@cache
def _filled(kind: str, graph_id: str, to: int) -> Path:
    path = Path(tempfile.mkdtemp(dir=_kept().name), "store")
    _run_counting(f"file://{path}" if kind == "file" else f"sqlite:///{path}", graph_id, to)
    return path


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="filled-")


def _run_counting(url: str, graph_id: str, to: int) -> None:
    async def run() -> None:
        async with open_backend(url) as store:
            config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=False)
            await counting_graph(config, graph_id=graph_id).run({"to": to})

    asyncio.run(run())


def save_by_hand(url: str, checkpoint_id: str, *, graph_id: str = "counting", state: Any = None) -> None:
    async def save() -> None:
        async with open_backend(url) as store:
            graph = Graph(start=Count(), id=graph_id, state=state)
            await graph.create_checkpoint(checkpoint_id).save(store)

    asyncio.run(save())


def infos(url: str) -> list[CheckpointInfo]:
    """The checkpoints of all graphs."""

    async def look(store: CheckpointBackend) -> list[CheckpointInfo]:
        return await CheckpointManager(store).list_checkpoints()

    return with_store(url, look)


def records(url: str) -> list[Record]:
    """Everything in a store, as it is stored."""

    async def look(store: CheckpointBackend) -> list[Record]:
        found = [await store.get(info.graph_id, info.sequence) for info in (await store.list()).infos]
        return [record for record in found if record is not None]

    return with_store(url, look)


def with_store(url: str, work: Any) -> Any:
    async def run() -> Any:
        async with open_backend(url) as store:
            return await work(store)

    return asyncio.run(run())


def file_url(folder: Path) -> str:
    return f"file://{folder}"


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder}.db"


def damage(folder: Path, *, sequence: int, graph_id: str = "counting") -> None:
    """Change a byte within the payload of a record in a file store."""
    file = folder / graph_id / f"{sequence:012d}.ckpt"
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"count"', b'"cOunt"', 1))
    assert file.read_bytes() != content


def sequences(found: Sequence[CheckpointInfo]) -> list[int]:
    return [info.sequence for info in found]


class Grow(Node):
    """Sets one large value at its first step and another at each, and a small one."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        await context.graph_state.set("text", large_text(count))
        return {"to": context.inputs["to"], "done": count >= context.inputs["to"]}


STEADY = "steady " * 2_000


def large_text(count: int) -> str:
    """What the large value is after so many steps."""
    return f"step {count} " * 2_000


def growing_graph(config: CheckpointConfig, *, graph_id: str = "growing") -> Graph:
    grow = Grow()
    grow.on(done=False) >> grow
    grow.on(done=True) >> ExitNode()
    return Graph(start=grow, id=graph_id, state={"steady": STEADY}, checkpoint_config=config)


def fill_large(url: str, *, graph_id: str = "growing", to: int = 3, options: dict[str, Any] | None = None) -> None:
    """As ``fill``, with large values: one that all checkpoints share, and one that each has for itself."""

    async def run() -> None:
        async with open_backend(url, **options or {}) as store:
            store.blob_cost = 8192  # so that what is large here is large for every store
            config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=False)
            await growing_graph(config, graph_id=graph_id).run({"to": to})

    asyncio.run(run())


def put_run(url: str, graph_id: str, reason: str, *, age: timedelta = timedelta(minutes=3), **metadata: Any) -> None:
    """Store the latest checkpoint of a run that stands like this, as the run would.

    :param metadata: what else its header says.
    """
    made = datetime.now(UTC) - age
    facts = {"iteration": 12, "last_node": "charge", "run_id": "r", "reason": reason, **metadata}
    checkpoint = GraphCheckpoint(automatic_id(graph_id, 1), graph_id, made, execution_metadata=facts)
    with_store(url, lambda store: store.put(RecordCodec().encode(checkpoint, sequence=1, manual=False, nonce="n")))


def put_many_runs(file: Path, reasons: Sequence[str], *, count: int) -> None:
    """Fill a SQLite store with runs of many graphs, whose statuses take turns: copies of the one that it holds, in no time."""
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.row_factory = sqlite3.Row
        row = dict(database.execute("SELECT * FROM checkpoints").fetchone())
        database.executemany(
            f"INSERT INTO checkpoints ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})",
            (
                {
                    **row,
                    "graph_id": id,
                    "metadata": row["metadata"].replace('"completed"', f'"{reasons[number % len(reasons)]}"'),
                }
                for number, id in enumerate(f"order-{number:05d}" for number in range(count))
            ),
        )
