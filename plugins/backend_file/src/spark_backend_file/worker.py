"""The file backend's own threads: from the first call to ``close``, for one event loop after another."""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, ParamSpec, TypeVar

from spark.errors import BackendError
from spark.graphs.checkpoint import run_blocking

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 4


class Worker:
    """Runs blocking calls in threads of its own, which start when they are needed and are bound to no event loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads: Threads | None = None
        self._process = 0
        self._closed = False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the call returns or raises; see ``run_blocking``."""
        return await run_blocking(function, *args, executor=self._executor(), **kwargs)

    async def close(self) -> None:
        """Wait for the calls under way, and end the threads."""
        self._closed = True
        threads = self._threads
        if threads is not None and self._process == os.getpid():
            # First without waiting: should this be cancelled before its turn comes, the threads still end by themselves.
            threads.end()
            await run_blocking(threads.join)

    def _executor(self) -> Threads:
        if self._closed:
            raise BackendError(f"The {self._name} is closed and can't be used any more; make a new one.")
        # After a fork the child has the object, and none of its threads.
        if self._threads is None or self._process != os.getpid():
            self._process = os.getpid()
            self._threads = Threads(_THREADS, name=self._name.replace(" ", "-"))
        return self._threads


class Threads:
    """At most so many threads, which take calls from one queue, with half the work of a ``ThreadPoolExecutor``.

    They are daemons: a program that forgets to close the backend still ends.
    """

    def __init__(self, most: int, *, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._idle = 0
        self._lock = Lock()
        """Guards the two before it."""

    def submit(self, call: Callable[[], Any]) -> None:
        """Have a thread make this call, which must not raise."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif len(self._threads) < self._most:
                thread = Thread(target=self._serve, name=f"{self._name}_{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._calls.put(call)

    def end(self) -> None:
        """Let each thread end when no calls are left."""
        for _ in self._threads:
            self._calls.put(None)

    def join(self) -> None:
        """Wait until all have ended."""
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # what it holds need not live until the next one
            with self._lock:
                self._idle += 1
