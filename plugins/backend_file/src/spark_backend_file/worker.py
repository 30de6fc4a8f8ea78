"""The file backend's own threads: from the first call to ``close``, for one event loop after another."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from spark.errors import BackendError
from spark.graphs.checkpoint import run_blocking

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 4


class Worker:
    """Runs blocking calls in threads of its own, which start with the first call and are bound to no event loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads: ThreadPoolExecutor | None = None
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
            threads.shutdown(wait=False)
            await run_blocking(threads.shutdown)

    def _executor(self) -> ThreadPoolExecutor:
        if self._closed:
            raise BackendError(f"The {self._name} is closed and can't be used any more; make a new one.")
        # After a fork the child has the object, and none of its threads.
        if self._threads is None or self._process != os.getpid():
            self._process = os.getpid()
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=self._name.replace(" ", "-"))
        return self._threads
