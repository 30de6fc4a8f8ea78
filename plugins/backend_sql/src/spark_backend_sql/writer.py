"""Group commit: one thread writes for all graphs of a process, and takes everything that waits into one transaction."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from spark.errors import BackendError
from spark.graphs.checkpoint import Reply
from spark_backend_sql.operations import Address, Operation, Outcome

MOST_OPERATIONS: Final = 256
"""A transaction holds at most this many operations,"""
MOST_BYTES: Final = 16 * 1024 * 1024
"""and about this many bytes; a single record may be larger."""

Commit = Callable[[Sequence[Operation]], Sequence[Outcome]]
"""Carries out operations in one transaction, and gives an outcome for each; never raises."""


class Inline(Protocol):
    """What may do an operation in the thread of its caller."""

    def suits(self, operation: Operation) -> bool:
        """Whether to try it. Asked about every operation, in order."""

    def commit(self, operation: Operation) -> list[int] | None:
        """What the operation answers once it is durable; None where it was not done."""

    def handed_over(self, seconds: float) -> None:
        """The writer's thread has done one by itself, in this time."""


class Call:
    """An operation whose caller waits."""

    __slots__ = ("is_taken", "operation", "reply")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.reply = Reply(asyncio.get_running_loop())
        self.is_taken = False
        """Its transaction is under way, or over."""


class Writer:
    """Queues operations, and commits them in order in a thread that starts with the first and ends with ``stop``.

    :param inline: asked first about an operation that comes while there is nothing else to do.
    """

    def __init__(self, commit: Commit, inline: Inline | None = None) -> None:
        self._commit = commit
        self._inline = inline
        self._is_stopping = False
        self._begin()

    def _begin(self) -> None:
        self._thread: threading.Thread | None = None
        self._waiting: deque[Call] = deque()
        self._lock = threading.Lock()
        """Guards what waits, and which of it is taken."""
        self._bell = threading.Lock()
        """Held while there is nothing to do. Two plain locks wake a thread with less work than a condition."""
        self._bell.acquire()
        self._is_idle = False
        """The thread waits for the bell, or is about to."""
        self._turn = threading.Lock()
        """Held by whoever commits."""

    async def run(self, operation: Operation) -> list[int]:
        """What the operation answers, once its transaction is durable.

        When the caller is cancelled, an operation that no transaction has taken yet never happens; of another one the
        outcome is waited for. Either way nothing goes on behind the caller's back.
        """
        if (done := self._commit_inline(operation)) is not None:
            return done
        call = Call(operation)
        self._add(call)
        try:
            gone: list[int] = await call.reply.wait()
        except asyncio.CancelledError:
            if not self._withdraw(call):
                await call.reply.outlast()
            raise
        return gone

    def stop(self) -> None:
        """Commit what waits, and end the thread. Blocks."""
        with self._lock:
            self._is_stopping = True
            self._ring()
            thread = self._thread
        if thread is not None:
            thread.join()

    def after_fork(self) -> None:
        """In a child process, which has this object, its locks in any state, and no thread: begin anew."""
        self._begin()

    def _commit_inline(self, operation: Operation) -> list[int] | None:
        if self._inline is None or not self._inline.suits(operation) or not self._take_turn():
            return None
        try:
            return self._inline.commit(operation)
        finally:
            self._turn.release()

    def _take_turn(self) -> bool:
        """Whether the thread has nothing to do; then it does nothing until the turn is over."""
        with self._lock:
            return self._is_idle and not self._is_stopping and self._turn.acquire(blocking=False)

    def _add(self, call: Call) -> None:
        with self._lock:
            if self._is_stopping:
                raise BackendError("The sql backend is closed and can't be used any more; make a new one.")
            self._waiting.append(call)
            if self._thread is None:
                # A daemon: a program that forgets to close the backend still ends.
                self._thread = threading.Thread(target=self._serve, name="sql-backend-writer", daemon=True)
                self._thread.start()
            self._ring()

    def _ring(self) -> None:
        if self._is_idle:
            self._is_idle = False
            self._bell.release()

    def _withdraw(self, call: Call) -> bool:
        with self._lock:
            if call.is_taken:
                return False
            self._waiting.remove(call)
            return True

    def _serve(self) -> None:
        while calls := self._take():
            with self._turn:
                outcomes = self._timed([call.operation for call in calls])
            self._rest()  # before the answer: whoever hears it may find the next thing to do
            _answer(calls, outcomes)

    def _rest(self) -> None:
        with self._lock:
            self._is_idle = not self._waiting

    def _timed(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        began = time.perf_counter()
        outcomes = self._commit(operations)
        if self._inline is not None and len(operations) == 1:
            self._inline.handed_over(time.perf_counter() - began)
        return outcomes

    def _take(self) -> list[Call]:
        """Everything that waits, as far as one transaction may hold it; nothing when the writer is stopping."""
        while True:
            with self._lock:
                if self._waiting or self._is_stopping:
                    self._is_idle = False
                    self._bell.acquire(blocking=False)  # rung while the thread was on its way here
                    return self._next_batch()
                self._is_idle = True
            self._bell.acquire()

    def _next_batch(self) -> list[Call]:
        calls: list[Call] = []
        touched: set[Address] = set()
        weight = 0
        while self._waiting and len(calls) < MOST_OPERATIONS:
            operation = self._waiting[0].operation
            weight += operation.weight
            # What is done to one record twice is done in order, in transactions of their own.
            if calls and (weight > MOST_BYTES or not touched.isdisjoint(operation.touched)):
                break
            touched.update(operation.touched)
            calls.append(self._waiting.popleft())
            calls[-1].is_taken = True
        return calls


def _answer(calls: Sequence[Call], outcomes: Sequence[Outcome]) -> None:
    """Wake the callers, each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Reply, Outcome]]] = {}
    for call, outcome in zip(calls, outcomes, strict=True):
        by_loop.setdefault(call.reply.loop, []).append((call.reply, outcome))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed without waiting for its tasks
            loop.call_soon_threadsafe(_give_all, answers)


def _give_all(answers: Sequence[tuple[Reply, Outcome]]) -> None:
    for reply, outcome in answers:
        reply.give(outcome, isinstance(outcome, Exception))
