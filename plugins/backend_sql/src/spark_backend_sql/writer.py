"""Group commit: one thread writes for all graphs of a process, and takes everything that waits into one transaction."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from spark.errors import BackendError
from spark_backend_sql.operations import Operation, Outcome, Put

MOST_OPERATIONS: Final = 256
"""A transaction holds at most this many operations,"""
MOST_BYTES: Final = 16 * 1024 * 1024
"""and about this many bytes; a single record may be larger."""
MOMENT: Final = 0.000_5
"""Seconds for which a deletion waits for a save that it can share a transaction with."""

Commit = Callable[[Sequence[Operation]], Sequence[Outcome]]
"""Carries out operations in one transaction, and gives an outcome for each; never raises."""


@dataclass(slots=True, eq=False)
class Call:
    """An operation whose caller waits."""

    operation: Operation
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Outcome]
    is_taken: bool = False
    """Its transaction is under way, or over."""
    is_answered: bool = False
    """Its caller was told, or would have been, had it not been cancelled."""

    def tell(self, outcome: Outcome) -> None:
        """Wake the caller. Runs in its event loop."""
        self.is_answered = True
        if not self.answer.done():
            self.answer.set_result(outcome)

    async def outlast(self) -> None:
        """Wait for the answer, however often the waiting is cancelled."""
        while not self.is_answered:
            # Cancelling the caller cancelled the future that it waited for.
            self.answer = self.loop.create_future()
            with suppress(asyncio.CancelledError):
                await self.answer


class Writer:
    """Queues operations, and commits them in order in a thread that starts with the first and ends with ``stop``."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._waiting: deque[Call] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._is_stopping = False

    async def run(self, operation: Operation) -> bool | None:
        """What the operation answers, once its transaction is durable.

        When the caller is cancelled, an operation that no transaction has taken yet never happens; of another one the
        outcome is waited for. Either way nothing goes on behind the caller's back.
        """
        loop = asyncio.get_running_loop()
        call = Call(operation, loop, loop.create_future())
        self._add(call)
        try:
            outcome = await call.answer
        except asyncio.CancelledError:
            if not self._withdraw(call):
                await call.outlast()
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def stop(self) -> None:
        """Commit what waits, and end the thread. Blocks."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
            thread = self._thread if self._process == os.getpid() else None
        if thread is not None:
            thread.join()

    def _add(self, call: Call) -> None:
        if self._process != os.getpid():
            self._begin_anew()
        with self._changed:
            if self._is_stopping:
                raise BackendError("The sql backend is closed and can't be used any more; make a new one.")
            self._waiting.append(call)
            if self._thread is None:
                # A daemon: a program that forgets to close the backend still ends.
                self._thread = threading.Thread(target=self._serve, name="sql-backend-writer", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _begin_anew(self) -> None:
        """After a fork the child has this object, a lock in any state, and no thread."""
        self._process, self._thread = os.getpid(), None
        self._waiting, self._changed = deque(), threading.Condition()

    def _withdraw(self, call: Call) -> bool:
        with self._changed:
            if call.is_taken:
                return False
            self._waiting.remove(call)
            return True

    def _serve(self) -> None:
        while calls := self._take():
            _answer(calls, self._commit([call.operation for call in calls]))

    def _take(self) -> list[Call]:
        """Everything that waits, as far as one transaction may hold it; nothing when the writer is stopping."""
        with self._changed:
            self._await_work()
            calls: list[Call] = []
            addresses, weight = set(), 0
            while self._waiting and len(calls) < MOST_OPERATIONS:
                operation = self._waiting[0].operation
                weight += operation.weight
                # What is done to one record twice is done in order, in transactions of their own.
                if operation.address in addresses or (calls and weight > MOST_BYTES):
                    break
                addresses.add(operation.address)
                calls.append(self._waiting.popleft())
                calls[-1].is_taken = True
            return calls

    def _await_work(self) -> None:
        """Wait until something waits, and a moment longer for a save that deletions can ride with."""
        while not self._waiting and not self._is_stopping:
            self._changed.wait()
            if self._waiting and not self._is_stopping and not self._has_put():
                self._changed.wait_for(lambda: self._is_stopping or self._has_put(), MOMENT)

    def _has_put(self) -> bool:
        return any(isinstance(call.operation, Put) for call in self._waiting)


def _answer(calls: Sequence[Call], outcomes: Sequence[Outcome]) -> None:
    """Wake the callers, each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Call, Outcome]]] = {}
    for call, outcome in zip(calls, outcomes, strict=True):
        by_loop.setdefault(call.loop, []).append((call, outcome))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed without waiting for its tasks
            loop.call_soon_threadsafe(_tell_all, answers)


def _tell_all(answers: Sequence[tuple[Call, Outcome]]) -> None:
    for call, outcome in answers:
        call.tell(outcome)
