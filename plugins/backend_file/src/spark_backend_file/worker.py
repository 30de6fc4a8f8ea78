"""The file backend's own threads: from the first call to ``close``, for one event loop after another."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, ParamSpec, TypeVar
from weakref import finalize

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import run_blocking
from spark_backend_file.waiting import DEFAULT, PATIENCE, Patience

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 4
LONG: Final = 0.0001
"""Seconds that giving back a file's space may take where it was removed; to have a thread do it takes about half of that."""


class Worker:
    """Runs blocking calls in threads of its own, which start when they are needed and are bound to no event loop.

    :param patience: seconds that a call may wait for each lock.
    """

    def __init__(self, name: str, *, patience: float = DEFAULT) -> None:
        self._name = name
        self._patience = patience
        self._threads: Threads | None = None
        self._process = os.getpid()
        self._closed = False
        self._closing_took = 0.0
        """Seconds, the last time."""
        self._lock = Lock()
        """Held where a call is handed over, so that none comes after the threads were told to end."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the call returns or raises; see ``run_blocking``. When the caller is cancelled, it ends where it waits for a lock.

        :raises BackendError: it is closed.
        """
        allowed = Patience(self._patience)
        call = partial(_patiently, allowed, partial(function, *args, **kwargs))
        return await run_blocking(call, executor=self, on_cancel=allowed.give_up)

    def submit(self, call: Callable[[], Any]) -> None:
        """Have a thread make this call, which must not raise.

        :raises BackendError: it is closed.
        """
        self._renew_after_fork()
        with self._lock:
            self.check_open()
            if self._threads is None:
                self._threads = Threads(_THREADS, name=self._name.replace(" ", "-"))
            self._threads.submit(call)

    def release(self, file: int) -> None:
        """Close a file: here, or where that took long the last time, in one of the threads, unless they are behind."""
        if self._closing_took <= LONG or not self._hands_over(file):
            self._close(file)

    def _hands_over(self, file: int) -> bool:
        self._renew_after_fork()
        with self._lock:
            if self._closed or self._threads is None or self._threads.waiting >= _THREADS:
                return False
            self._threads.submit(partial(self._close, file))
        return True

    def _close(self, file: int) -> None:
        began = time.perf_counter()
        with suppress(OSError):  # it was only read
            os.close(file)
        self._closing_took = time.perf_counter() - began

    async def close(self) -> None:
        """Wait for the calls under way, and end the threads; from any thread and event loop. Cancelling ends the wait alone."""
        self._renew_after_fork()
        with self._lock:
            self._closed = True
            threads = self._threads
        if threads is not None:
            threads.end()
            await threads.ended()

    def check_open(self) -> None:
        """Refuse what comes after ``close``.

        :raises BackendError: it is closed.
        """
        if self._closed:
            raise BackendError(f"The {self._name} is closed and can't be used any more; make a new one.")

    def _renew_after_fork(self) -> None:
        # The child has the object and none of its threads, and one of those may be holding the lock for ever.
        if self._process != os.getpid():
            self._process, self._threads, self._lock = os.getpid(), None, Lock()


def _patiently(allowed: Patience, call: Callable[[], T]) -> T:
    token = PATIENCE.set(allowed)
    try:
        return call()
    finally:
        PATIENCE.reset(token)


class Threads:
    """At most so many threads, which take calls from one queue, with half the work of a ``ThreadPoolExecutor``.

    They end with ``end``, or when nobody holds this any more. They are daemons: a program that forgets to close the
    backend still ends.
    """

    def __init__(self, most: int, *, name: str) -> None:
        self._most = most
        self._name = name
        self._queue = Queue()
        self._threads: list[Thread] = []
        # The threads hold the queue alone, so that this can be collected while they wait.
        self._end = finalize(self, self._queue.end, self._threads)

    def submit(self, call: Callable[[], Any]) -> None:
        """Have a thread make this call, which must not raise."""
        with self._queue.lock:
            if self._queue.idle:
                self._queue.idle -= 1
            elif len(self._threads) < self._most:
                thread = Thread(target=self._queue.serve, name=f"{self._name}_{len(self._threads)}", daemon=True)
                thread.start()
                self._threads.append(thread)
        self._queue.calls.put(call)

    @property
    def waiting(self) -> int:
        """How many calls no thread has begun with, about."""
        return self._queue.calls.qsize()

    def end(self) -> None:
        """Let each thread end when no calls are left."""
        self._end()

    async def ended(self) -> None:
        """Wait until all have, having been told to."""
        for thread in self._threads:
            pause = 0.0005
            while thread.is_alive():
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.02)


class Queue:
    """The calls that wait for a thread, and how many threads wait for a call."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self.idle = 0
        self.lock = Lock()
        """Guards ``idle``, and that threads are not too many."""

    def serve(self) -> None:
        """Make one call after another until told to end."""
        while (call := self.calls.get()) is not None:
            call()
            del call  # what it holds need not live until the next one
            with self.lock:
                self.idle += 1

    def end(self, threads: list[Thread]) -> None:
        """Tell each of these to end after the calls that wait."""
        for _ in threads:
            self.calls.put(None)
