"""Whatever stands in the place of a checkpoint: an error of ours that names it, in bounded time and memory."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import spark.errors
from spark.errors import (
    CheckpointDamagedError,
    CheckpointNotFoundError,
    CheckpointVersionError,
    GraphRestoreError,
    SparkError,
)
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, FileCheckpointBackend
from spark_testing.children import Child, Tell
from tests.integration.counting import Count, checkpoint_files, counting, keeping
from tests.integration.planted import (
    DEEP,
    HUGE_INTEGER,
    SURROGATES,
    exploit,
    forge,
    gzip_bomb,
    one_gzip_bomb,
)

LATEST = r"000000000004\.ckpt|ckpt_count_000004"


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """A directory in which a run of four checkpoints has been completed."""
    directory = tmp_path / "store"
    await finished(counting(directory))
    return directory


async def finished(graph: Graph, *, resume: bool = False) -> Any:
    """What the run returns; the graph's backend is closed however it ends."""
    try:
        return (await graph.run(resume=resume)).content
    finally:
        assert graph.checkpoint_backend is not None
        await graph.checkpoint_backend.close()


# damage


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:1],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content + b"\n",
        lambda content: bytes(len(content)),
        lambda content: content.replace(b'"count":3', b'"count":4'),
        lambda content: content * 2,
    ],
    ids=["empty", "one byte", "half", "one byte less", "one byte more", "zeros", "another state", "twice"],
)
async def test_a_damaged_checkpoint_is_named_and_never_passed_over(
    store: Path, spoil: Callable[[bytes], bytes]
) -> None:
    latest = checkpoint_files(store)[-1]
    content = latest.read_bytes()
    latest.write_bytes(spoil(content))
    assert latest.read_bytes() != content

    with pytest.raises(CheckpointDamagedError, match=LATEST) as raised:
        await finished(counting(store), resume=True)
    assert_says_what_to_do(raised.value)


async def test_no_flipped_bit_goes_unnoticed(store: Path) -> None:
    """One bit of each of a hundred bytes, spread over the whole file."""
    latest, chance = checkpoint_files(store)[-1], random.Random(7)
    content = latest.read_bytes()

    for position in sorted({0, len(content) - 1, *chance.sample(range(len(content)), 100)}):
        flipped = bytearray(content)
        flipped[position] ^= 1 << chance.randrange(8)
        latest.write_bytes(flipped)
        with pytest.raises(CheckpointDamagedError, match=LATEST):
            await finished(counting(store), resume=True)


async def test_the_only_checkpoint_damaged_is_no_empty_start(store: Path) -> None:
    *older, latest = checkpoint_files(store)
    for file in older:
        file.unlink()
    latest.write_bytes(b"")

    with pytest.raises(CheckpointDamagedError, match=LATEST):
        await finished(counting(store), resume=True)


async def test_after_damage_listing_goes_on_and_an_older_checkpoint_restores(store: Path) -> None:
    """This is the way out that the error tells of."""
    latest = checkpoint_files(store)[-1]
    latest.write_bytes(latest.read_bytes()[:100])

    async with FileCheckpointBackend(store) as backend:
        manager = CheckpointManager(backend)
        infos = await manager.list_checkpoints("count")
        older = await manager.load_checkpoint(infos[-2].checkpoint_id)
        restored = Graph.from_checkpoint(older, checkpoint_config=CheckpointConfig(backend=backend))
        assert await manager.delete_checkpoint(infos[-1].checkpoint_id)
        result = await restored.run()

    assert [info.sequence for info in infos] == [1, 2, 3, 4]
    assert result.content["count"] == 3
    assert await finished(counting(store), resume=True) == result.content


# what somebody planted


PLANTED: dict[str, Callable[[Path], object]] = {
    "a pickle": lambda file: file.write_bytes(exploit(file.parent / "trace")),
    "a pickle, sealed": lambda file: forge(file, exploit(file.parent / "trace"), format="pickle"),
    "a gzip bomb": lambda file: file.write_bytes(gzip_bomb()),
    "a gzip bomb, sealed": lambda file: forge(file, gzip_bomb(), compression="gzip", raw_size=2**32),
    "a gzip bomb whose header lies": lambda file: forge(file, one_gzip_bomb(), compression="gzip", raw_size=1_000),
    "deep JSON": lambda file: file.write_bytes(DEEP),
    "deep JSON as header": lambda file: file.write_bytes(b'{"header": ' + DEEP + b',\n"payload": {}\n}\n'),
    "deep JSON, sealed": lambda file: forge(file, DEEP),
    "deep state, sealed": lambda file: forge(file, b'{"graph_state": {"count": ' + DEEP + b"}}"),
    "lone surrogates": lambda file: file.write_bytes(SURROGATES),
    "lone surrogates, sealed": lambda file: forge(file, SURROGATES),
    "bytes that are no UTF-8, sealed": lambda file: forge(file, b'{"graph_state": {"count": "\xff\xfe\xed\xa0\x80"}}'),
    "a huge integer": lambda file: file.write_bytes(b'{"header": ' + b"9" * 5_000 + b"}\n"),
    "a huge integer, sealed": lambda file: forge(file, HUGE_INTEGER),
    "a huge tagged integer, sealed": lambda file: forge(
        file, b'{"graph_state": {"count": {"$int": "' + b"f" * 5_000_000 + b'"}}}'
    ),
    "a sparse file of a terabyte": lambda file: truncate(file, 2**40),
}


def truncate(file: Path, size: int) -> None:
    with file.open("r+b") as opened:
        opened.truncate(size)


async def tell_how_it_loads(store: Path, tell: Tell) -> None:
    """The work of a process of its own."""
    await finished(counting(store.with_name("warm")))  # so that only loading is measured below
    before, began, error = peak(), time.process_time(), None
    try:
        await finished(counting(store), resume=True)
    except SparkError as raised:
        error = [type(raised).__name__, str(raised)]
    tell(json.dumps({"error": error, "megabytes": peak() - before, "seconds": time.process_time() - began}))


def peak() -> int:
    """The most megabytes that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 2**20)


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
async def test_a_planted_file_is_one_of_our_errors_in_bounded_time_and_memory(
    store: Path, plant: Callable[[Path], object]
) -> None:
    plant(checkpoint_files(store)[-1])

    (line,) = Child.start(partial(tell_how_it_loads, store)).wait()
    report = json.loads(line)

    assert report["error"], "it was loaded"
    kind, message = report["error"]
    assert issubclass(getattr(spark.errors, kind), spark.errors.CheckpointError)
    assert "000000000004.ckpt" in message or "ckpt_count_000004" in message
    assert len(message) < 2_000
    assert report["megabytes"] < 100
    assert report["seconds"] < 5
    assert not list(store.rglob("trace")), "it was unpickled"


# what is not there, or no longer


async def test_an_unknown_checkpoint_says_how_to_see_those_that_there_are(store: Path) -> None:
    async with FileCheckpointBackend(store) as backend:
        with pytest.raises(CheckpointNotFoundError, match=r"'nonsense'.*list_checkpoints") as raised:
            await CheckpointManager(backend).load_checkpoint("nonsense")

    assert isinstance(raised.value, KeyError)


async def test_an_unknown_major_version_says_who_can_restore_it(store: Path) -> None:
    async with FileCheckpointBackend(store) as backend:
        latest = await CheckpointManager(backend).load_latest("count")
        assert latest is not None
        future = replace(latest, checkpoint_id="of the future", version="9.0.0")
        await future.save(backend)

    for restore in (lambda: Graph.from_checkpoint(future), lambda: asyncio.run(finished(counting(store), resume=True))):
        with pytest.raises(CheckpointVersionError, match=r"'of the future'.*'9\.0\.0'.*register_migration"):
            await asyncio.to_thread(restore)


class Second(Node):
    """Does not survive its first release."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        raise RuntimeError("not this time")


async def test_a_checkpoint_whose_pending_node_no_longer_exists_says_which_and_what_to_pass(tmp_path: Path) -> None:
    first = Count(name="first")
    first >> Second()
    with pytest.raises(RuntimeError):
        await finished(keeping(first, tmp_path))
    kept = checkpoint_files(tmp_path)

    with pytest.raises(GraphRestoreError, match=r"'Second'.*start=") as raised:
        await finished(keeping(Count(name="first"), tmp_path), resume=True)

    assert "ckpt_count_00000" in str(raised.value)
    assert checkpoint_files(tmp_path) == kept


def assert_says_what_to_do(error: SparkError) -> None:
    assert any(word in str(error) for word in ("elete", "estore", "load one of those")), str(error)
