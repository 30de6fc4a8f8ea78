"""SIGKILL a process that checkpoints each step, at random instants, over and over.

    python -m tests.crash.kill_writers --kills 1000 --seed 7

After each kill another process reads the store: the latest checkpoint must load, nothing that was acknowledged may be
lost, and every checkpoint must hold a consistent cut of the history. Then the next writer continues from the latest.
Exit status 0: all of that held, every time.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import random
import select
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from spark.graphs.checkpoint import CheckpointBackend, CheckpointHandler, CheckpointManager, GraphCheckpoint
from spark.hooks import events
from tests.crash.worker_graph import GRAPH_ID, KEPT, build, complaint_about

_ACK = struct.Struct("<q")
MakeBackend = Callable[[Path], CheckpointBackend]


class Acknowledge(CheckpointHandler):
    """Tells the parent, through a pipe, which checkpoint was acknowledged."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        assert checkpoint.sequence is not None
        os.write(self._pipe, _ACK.pack(checkpoint.sequence))


def kill_over_and_over(directory: Path, *, kills: int, longest: float, chance: random.Random, make: MakeBackend) -> int:
    """Returns how many checkpoints were acknowledged in all.

    :param longest: seconds that a writer may live.
    :raises AssertionError: something acknowledged was lost, or something stored is not right.
    """
    acknowledged = 0
    for number in range(1, kills + 1):
        last = _write_until_killed(directory, after=chance.uniform(0, longest), make=make)
        acknowledged = max(acknowledged, last)
        complaint = _in_child(partial(_check, directory, acknowledged, make))
        assert not complaint, f"after kill {number}: {complaint}"
    return acknowledged


def _write_until_killed(directory: Path, *, after: float, make: MakeBackend) -> int:
    """The last sequence that a writer acknowledged before it was killed; 0 when there was none."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_a_child(lambda: build(make(directory), Acknowledge(writer)).run(resume=True))
    os.close(writer)
    _wait_for_first_ack(reader, child)
    time.sleep(after)  # the instant of the kill is the point
    os.kill(child, signal.SIGKILL)
    acks = _read_all(reader)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"the writer ended by itself, with status {os.waitstatus_to_exitcode(status)}"
    complete = len(acks) // _ACK.size * _ACK.size
    return max((sequence for (sequence,) in _ACK.iter_unpack(acks[:complete])), default=0)


def _wait_for_first_ack(reader: int, child: int) -> None:
    # Half of the writers may be killed while they start; the others must have begun to write.
    if child % 2:
        select.select([reader], [], [], 30)


async def _check(directory: Path, acknowledged: int, make: MakeBackend) -> str:
    """What is wrong with the store, or ``""``."""
    async with make(directory) as backend:
        manager = CheckpointManager(backend)
        infos = await manager.list_checkpoints(GRAPH_ID)
        if acknowledged and (not infos or infos[-1].sequence < acknowledged):
            return f"checkpoint {acknowledged} was acknowledged, but the latest is {infos[-1:] or 'none'}"
        stored, first_kept = {info.sequence for info in infos}, acknowledged - KEPT + 1
        lost = [sequence for sequence in range(max(first_kept, 1), acknowledged + 1) if sequence not in stored]
        if lost:
            return f"checkpoints {lost} were acknowledged and are gone"
        chains = [""]
        for info in infos:
            complaint = complaint_about(await manager.load_checkpoint(info.checkpoint_id), chains)
            if complaint:
                return f"{info.checkpoint_id}: {complaint}"
        return ""


def _in_child(work: Callable[[], Awaitable[str]]) -> str:
    """What a coroutine returned in a process of its own, or how it failed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_a_child(work, answer_to=writer)
    os.close(writer)
    answer = _read_all(reader).decode()
    _, status = os.waitpid(child, 0)
    return answer or (f"the check ended with status {status}" if status else "")


def _be_a_child(work: Callable[[], Awaitable[object]], *, answer_to: int | None = None) -> None:
    status = 1
    try:
        answer = asyncio.run(_awaited(work))
        if answer_to is not None:
            os.write(answer_to, str(answer).encode()[:60_000])
        status = 0
    except BaseException as error:
        if answer_to is not None:
            os.write(answer_to, f"{type(error).__name__}: {error}".encode()[:60_000])
        else:
            print(f"the writer failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


async def _awaited(work: Callable[[], Awaitable[object]]) -> object:
    return await work()


def _read_all(reader: int) -> bytes:
    parts = []
    while part := os.read(reader, 65536):
        parts.append(part)
    os.close(reader)
    return b"".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--longest", type=float, default=0.06, help="seconds that a writer may live after it began to write"
    )
    parser.add_argument(
        "--backend", default="spark_backend_file:FileCheckpointBackend", help="module:Class, made with a directory"
    )
    options = parser.parse_args()
    module, _, name = options.backend.partition(":")
    make: MakeBackend = getattr(importlib.import_module(module), name)
    events.listeners("spark_checkpoint_created")  # look for plugins once, not in every child
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="spark-crash-") as folder:
        acknowledged = kill_over_and_over(
            Path(folder), kills=options.kills, longest=options.longest, chance=random.Random(options.seed), make=make
        )
    seconds = time.monotonic() - began
    print(
        f"{options.kills} kills (seed {options.seed}), {acknowledged} checkpoints acknowledged, none lost, {seconds:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
