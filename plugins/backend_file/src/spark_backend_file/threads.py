"""The file backend's own threads, and for how long a call in one of them waits for a lock."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from errno import ETIMEDOUT
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar
from weakref import finalize

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import renew_after_fork, run_blocking

P = ParamSpec("P")
T = TypeVar("T")

CloseFile: TypeAlias = Callable[[int], None]
"""Closes a file, now or later, in this thread or another; it does not raise."""

LOCK_TIMEOUT: Final = 30.0
"""Seconds."""
_THREADS: Final = 4
_SLOW_CLOSE: Final = 0.0001
"""Seconds that closing a deleted file may take where it was deleted; to have a thread do it takes about half of that."""
_LONGEST_PAUSE: Final = 0.05
"""Seconds between two attempts to get a lock, and so what giving up may take."""


class BackendThreads:
    """Runs blocking calls in threads of its own: from the first call to ``close``, for one event loop after another.

    :param name: of the backend, for messages and for the names of the threads.
    :param lock_timeout: seconds that a call may wait for each lock.
    :param clock: tells seconds, from any beginning.
    """

    def __init__(
        self, name: str, *, lock_timeout: float = LOCK_TIMEOUT, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._name = name
        self._lock_timeout = lock_timeout
        self._clock = clock
        self._threads: ThreadPool | None = None
        self._is_closed = False
        self._last_close = 0.0
        """Seconds that it took to close a deleted file the last time."""
        self._lock = Lock()
        """Held where a call is handed over, so that none comes after the threads were told to end."""
        renew_after_fork(self)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the call returns or raises; see ``run_blocking``. When the caller is cancelled, it ends where it waits for a lock.

        :raises BackendError: the backend is closed.
        """
        timeout = LockTimeout(self._lock_timeout)
        call = partial(_with_timeout, timeout, partial(function, *args, **kwargs))
        return await run_blocking(call, executor=self, on_cancel=timeout.give_up)

    def submit(self, call: Callable[[], Any]) -> None:
        """Have a thread make this call, which must not raise.

        :raises BackendError: the backend is closed.
        """
        with self._lock:
            self.check_open()
            if self._threads is None:
                self._threads = ThreadPool(_THREADS, name=self._name.replace(" ", "-"))
            self._threads.submit(call)

    def close_file(self, file: int) -> None:
        """Close a deleted file: here, or in a thread where the last one took long, unless four are waiting there already."""
        if self._last_close <= _SLOW_CLOSE or not self._close_in_thread(file):
            self._close_here(file)

    def _close_in_thread(self, file: int) -> bool:
        with self._lock:
            if self._is_closed or self._threads is None or self._threads.waiting >= _THREADS:
                return False
            self._threads.submit(partial(self._close_here, file))
        return True

    def _close_here(self, file: int) -> None:
        began = self._clock()
        with suppress(OSError):  # it was only read
            os.close(file)
        self._last_close = self._clock() - began

    async def close(self) -> None:
        """Wait for the calls under way, and end the threads; from any thread and event loop. Cancelling ends the wait alone."""
        with self._lock:
            self._is_closed = True
            threads = self._threads
        if threads is not None:
            threads.end()
            await threads.ended()

    def check_open(self) -> None:
        """Refuse what comes after ``close``.

        :raises BackendError: the backend is closed.
        """
        if self._is_closed:
            raise BackendError(f"The {self._name} is closed and can't be used any more; make a new one.")

    def after_fork(self) -> None:
        """In a child process, which has none of the threads: start others when they are needed."""
        self._threads, self._lock = None, Lock()


class LockTimeout:
    """How long one call waits for each lock.

    :param seconds: 0 to try once.
    """

    def __init__(self, seconds: float = LOCK_TIMEOUT) -> None:
        self.seconds = seconds
        self._is_given_up = False

    def give_up(self) -> None:
        """End the call where it waits, from another thread: its caller was cancelled."""
        self._is_given_up = True

    def acquire(self, attempt: Callable[[float], bool]) -> bool:
        """Whether an attempt to get the lock succeeded in time.

        :param attempt: tries for so many seconds.
        """
        if attempt(0):
            return True
        end, pause = time.monotonic() + self.seconds, 0.001
        while not self._is_given_up and (left := end - time.monotonic()) > 0:
            if attempt(min(pause, left)):
                return True
            pause = min(2 * pause, _LONGEST_PAUSE)
        return False


_OF_CALL: ContextVar[LockTimeout] = ContextVar("LOCK_TIMEOUT")


def lock_timeout() -> LockTimeout:
    """That of the call which this thread is making, or the default."""
    return _OF_CALL.get(None) or LockTimeout()


@contextmanager
def locked(lock: Lock, what: str) -> Iterator[None]:
    """Hold a lock of this process meanwhile.

    :param what: it guards, for messages.
    :raises TimeoutError: another call held it for too long.
    """
    timeout = lock_timeout()
    if not timeout.acquire(lambda seconds: lock.acquire(timeout=seconds)):
        raise TimeoutError(ETIMEDOUT, f"other calls of this process have used {what} for {timeout.seconds:g} s")
    try:
        yield
    finally:
        lock.release()


def _with_timeout(timeout: LockTimeout, call: Callable[[], T]) -> T:
    token = _OF_CALL.set(timeout)
    try:
        return call()
    finally:
        _OF_CALL.reset(token)


class ThreadPool:
    """At most so many threads, which take calls from one queue, with half the work of a ``ThreadPoolExecutor``.

    They end with ``end``, or when this object is collected. They are daemons: a program that forgets to close the
    backend still ends.
    """

    def __init__(self, most: int, *, name: str) -> None:
        self._most = most
        self._name = name
        self._queue = CallQueue()
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
        """Wait until they have ended; ``end`` was called before."""
        for thread in self._threads:
            pause = 0.0005
            while thread.is_alive():
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.02)


class CallQueue:
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
