"""A fork waits for who must not be interrupted, and what a child can't use begins anew there."""

from __future__ import annotations

import asyncio
import gc
import os
import threading

from spark.graphs.checkpoint.storage import ForkGate, renew_after_fork
from spark_testing.children import Child, Tell


class Renewed:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.processes = [os.getpid()]
        renew_after_fork(self)

    def after_fork(self) -> None:
        self.lock = threading.Lock()
        self.processes.append(os.getpid())


def test_a_child_begins_anew_with_what_is_still_held() -> None:
    kept, dropped = Renewed(), Renewed()
    dropped_processes = dropped.processes
    kept.lock.acquire()
    del dropped
    gc.collect()

    async def look(tell: Tell) -> None:
        tell(f"{kept.lock.locked()} {len(kept.processes)} {len(dropped_processes)}")

    assert Child.start(look).wait() == ["False 2 1"]
    assert kept.processes == [os.getpid()]


def test_a_fork_waits_until_nobody_is_inside() -> None:
    gate, inside, leave, seen = ForkGate(), threading.Event(), threading.Event(), []
    gate.guard(before=lambda: seen.append("before the fork"))

    def stay() -> None:
        with gate:
            inside.set()
            leave.wait(60)
            seen.append("left")

    staying = threading.Thread(target=stay)
    staying.start()
    inside.wait(60)
    threading.Timer(0.05, leave.set).start()

    async def pass_through(tell: Tell) -> None:
        with gate:
            tell(f"{seen}")

    assert Child.start(pass_through).wait() == ["['left', 'before the fork']"]
    staying.join()
    with gate:
        seen.append("the parent goes on")


async def test_threads_pass_the_gate_together() -> None:
    gate, barrier = ForkGate(), threading.Barrier(3)

    def pass_through() -> None:
        with gate:
            barrier.wait(60)

    await asyncio.gather(*(asyncio.to_thread(pass_through) for _ in range(3)))
