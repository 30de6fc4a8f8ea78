"""The one helper for blocking work: a call runs in a thread, and outlasts a cancellation."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from spark.errors import BackendError

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 4


class Worker:
    """Runs blocking calls in threads of its own, which start with the first call and are bound to no event loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads: ThreadPoolExecutor | None = None
        self._process = 0
        self._jobs: set[Future[Any]] = set()
        self._closed = False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the call returns or raises.

        When the caller is cancelled, a call that has begun is waited for, and one that has not never begins: nothing
        goes on behind the caller's back.
        """
        job = self._executor().submit(function, *args, **kwargs)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            job.cancel()  # which a job that has begun ignores
            await _outlast(job)
            raise

    async def close(self) -> None:
        """Wait for the calls under way, and end the threads."""
        self._closed = True
        cancelled = [await _outlast(job) for job in tuple(self._jobs)]
        if self._threads is not None and self._process == os.getpid():
            # Every thread is idle, so this takes no time that the event loop would notice.
            self._threads.shutdown(wait=True)
        self._threads = None
        if any(cancelled):
            raise asyncio.CancelledError

    def _executor(self) -> ThreadPoolExecutor:
        if self._closed:
            raise BackendError(f"The {self._name} is closed and can't be used any more; make a new one.")
        # After a fork the child has the object, and none of its threads.
        if self._threads is None or self._process != os.getpid():
            self._process, self._jobs = os.getpid(), set()
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=self._name.replace(" ", "-"))
        return self._threads


async def _outlast(job: Future[Any]) -> bool:
    """Return when the job is done, however often the waiting is cancelled, and say whether it was."""
    loop = asyncio.get_running_loop()
    cancelled = False
    while not job.done():
        ended = asyncio.Event()
        job.add_done_callback(partial(_tell, loop, ended))
        try:
            await ended.wait()
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Event, job: Future[Any]) -> None:
    with suppress(RuntimeError):  # the loop was closed without waiting for its tasks
        loop.call_soon_threadsafe(ended.set)
