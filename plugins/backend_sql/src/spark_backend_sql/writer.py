"""Group commit: one thread writes for all graphs of a process, and takes everything that waits into one transaction."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from math import inf
from operator import attrgetter
from typing import Final, Protocol

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import Reply, SmallIO
from spark_backend_sql.connection import FIRST_PAUSE, longer
from spark_backend_sql.operations import Address, Blocked, Operation, Outcome, Put

MOST_OPERATIONS: Final = 256
"""A transaction holds at most this many operations,"""
MOST_BYTES: Final = 16 * 1024 * 1024
"""and about this many bytes; a single record may be larger."""
LOG_SIZE: Final = 5 * 1024 * 1024
"""After so many bytes the thread makes a save, and with it SQLite's checkpoint, which takes milliseconds."""
LONGEST_TURN: Final = 0.005
"""Seconds that a transaction waits for what an event loop's graphs add in its present turn."""
_ROUND: Final = 16 * 1024
"""Bytes that a small save adds to SQLite's log at most, beside its own."""

_NBYTES: Final = attrgetter("operation.nbytes")
"""Of a call."""


class Executor(Protocol):
    """What ``TransactionExecutor`` does."""

    def execute(
        self, operations: Sequence[Operation], lock_timeout: float | None = None
    ) -> Sequence[Outcome | Blocked]:
        """Carry out operations in one transaction, and give an outcome for each. Never raises."""

    def execute_now(self, operations: Sequence[Operation]) -> Sequence[Outcome] | None:
        """The outcomes of operations in one transaction, waiting for nothing but the disk. None where it was not carried out."""

    def lane_of(self, operation: Operation) -> str:
        """What operations have in common that one lock holds up."""


class Writer:
    """Queues operations, and has them carried out in order in a thread that starts with the first and ends with ``stop``.

    :param wait: seconds that a call waits for another program's lock.
    :param io: decides which saves run inline: only of those that come while there is nothing else to do.
    :param most_bytes: about how many bytes a transaction holds at most.
    """

    def __init__(self, executor: Executor, *, wait: float, io: SmallIO, most_bytes: int = MOST_BYTES) -> None:
        self._executor = executor
        self._wait = wait
        self._io = io
        self._most_bytes = most_bytes
        self._is_stopping = False
        self._begin()

    def _begin(self) -> None:
        self._thread: threading.Thread | None = None
        self._waiting: deque[Call] = deque()
        self._lanes: dict[str, Lane] = {}
        """Beside what waits: the calls that met a lock, and all that are held up by the same one."""
        self._turns: set[asyncio.AbstractEventLoop] = set()
        """The event loops in which something was added in this turn."""
        self._was_lane = False
        """The last transaction was for a lane."""
        self._lock = threading.Lock()
        """Guards what waits, and which of it is taken."""
        self._wakeup = threading.Lock()
        """Held while there is nothing to do. Two plain locks wake a thread with less work than a condition."""
        self._wakeup.acquire()
        self._is_idle = False
        """The thread waits for the wakeup, or is about to."""
        self._commit_lock = threading.Lock()
        """Held by whoever commits."""
        self._logged = 0
        """About how many bytes inline saves have added to SQLite's log since the thread made one."""

    async def run(self, operation: Operation) -> list[int]:
        """The outcome of the operation, once its transaction is durable.

        When the caller is cancelled, an operation that no transaction has taken yet never happens; of another one the
        outcome is waited for. Either way nothing happens behind the caller's back.

        :raises CheckpointError: the operation's outcome is this error.
        """
        now = partial(self._commit_lone, operation)
        done = self._io.try_inline(now, nbytes=operation.nbytes, graph_id=operation.graph_id)
        if done is not None:
            if isinstance(done[0], Exception):
                raise done[0]
            return done[0]
        call = Call(operation, time.monotonic() + self._wait)
        self._add(call)
        try:
            outcome: list[int] = await call.wait()
        except asyncio.CancelledError:
            if not self._withdraw(call):
                operation.is_wanted = False
                await call.wait_uncancellable()
            raise
        return outcome

    def stop(self) -> None:
        """Commit what waits, and end the thread. Blocks."""
        with self._lock:
            self._is_stopping = True
            self._wake()
            thread = self._thread
        if thread is not None:
            thread.join()

    def after_fork(self) -> None:
        """In a child process, which has this object, its locks in any state, and no thread: begin anew."""
        self._begin()

    # in the caller's thread

    def _commit_lone(self, operation: Operation) -> Sequence[Outcome] | None:
        """The outcome of a save that is carried out in this thread; None where it is not."""
        if not isinstance(operation, Put) or not self._take_commit_lock():
            return None
        try:
            return self._execute_now([operation])
        finally:
            self._commit_lock.release()

    def _commit_waiting(self) -> list[tuple[Call, Outcome]] | None:
        """What became of the saves that wait, where they are carried out in this thread; None where they are not."""
        if not self._take_commit_lock():
            return None
        try:
            with self._lock:
                calls = _first_of(self._waiting, self._most_bytes)
            operations = [call.operation for call in calls]
            are_saves = all(isinstance(operation, Put) for operation in operations)
            outcomes = self._execute_now(operations) if are_saves else None
            if outcomes is None:
                with self._lock:  # not to be withdrawn any more: they may have been carried out
                    self._waiting.extendleft(reversed(calls))
                return None
        finally:
            self._commit_lock.release()
        return [*zip(calls, outcomes, strict=True)]

    def _execute_now(self, operations: Sequence[Operation]) -> Sequence[Outcome] | None:
        outcomes = self._executor.execute_now(operations)
        self._logged += sum(operation.nbytes + _ROUND for operation in operations)
        return outcomes

    def _take_commit_lock(self) -> bool:
        """Whether the thread has nothing to do; then it does nothing until the lock is released."""
        with self._lock:
            is_free = self._is_idle and not self._lanes and not self._is_stopping and self._logged < LOG_SIZE
            return is_free and self._commit_lock.acquire(blocking=False)

    def _add(self, call: Call) -> None:
        with self._lock:
            if self._is_stopping:
                raise BackendError("The sql backend is closed and can't be used any more; make a new one.")
            lane = self._lanes.get(self._executor.lane_of(call.operation)) if self._lanes else None
            call.queue = self._waiting if lane is None else lane.calls
            call.queue.append(call)
            if self._thread is None:
                # A daemon: a program that forgets to close the backend still ends.
                self._thread = threading.Thread(target=self._serve, name="sql-backend-writer", daemon=True)
                self._thread.start()
            self._expect_end_of_turn(call.loop)

    def _expect_end_of_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop not in self._turns:
            self._turns.add(loop)
            loop.call_soon(self._end_turn, loop)

    def _end_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """What the graphs of this event loop have to save in this turn is there: it makes one transaction."""
        with self._lock:
            self._turns.discard(loop)
            nbytes = sum(map(_NBYTES, self._waiting))
        if nbytes and (answers := self._io.try_inline(self._commit_waiting, nbytes=nbytes)):
            self._answer(answers)
        with self._lock:
            if self._waiting:
                self._wake()

    def _wake(self) -> None:
        if self._is_idle:
            self._is_idle = False
            self._wakeup.release()

    def _withdraw(self, call: Call) -> bool:
        with self._lock:
            if call.is_taken:
                return False
            assert call.queue is not None
            call.queue.remove(call)
            return True

    # in the writer's thread

    def _serve(self) -> None:
        while self._serve_next():
            pass

    def _serve_next(self) -> bool:
        """Carry out one transaction; False when the writer has stopped. What was saved is not kept until there is more to do."""
        batch = self._take()
        if batch is None:
            return False
        calls, lane = batch
        with self._commit_lock:
            outcomes = self._execute([call.operation for call in calls], None if lane is None else lane.pause / 10)
        answers = self._set_blocked_aside(calls, outcomes, lane)
        self._rest()  # before the answer: whoever gets it may find the next thing to do
        self._answer(answers)
        return True

    def _execute(self, operations: Sequence[Operation], lock_timeout: float | None) -> Sequence[Outcome | Blocked]:
        self._logged = 0
        if len(operations) > 1:
            return self._executor.execute(operations, lock_timeout)
        return self._io.in_thread(lambda: self._executor.execute(operations, lock_timeout))

    def _rest(self) -> None:
        with self._lock:
            self._is_idle = not self._waiting

    def _take(self) -> tuple[list[Call], Lane | None] | None:
        """What goes into the next transaction, and the lane that it comes from, if any; None when the writer has stopped."""
        while True:
            with self._lock:
                is_gathering = bool(self._turns) and not self._is_stopping
                batch = None if is_gathering else self._next_batch()
                if batch or (self._is_stopping and not self._lanes):
                    self._is_idle = False
                    self._wakeup.acquire(blocking=False)  # released while the thread was on its way here
                    return batch
                self._is_idle = True
                next_try = min((lane.next_try for lane in self._lanes.values()), default=inf)
                if is_gathering and self._waiting:
                    next_try = min(next_try, time.monotonic() + LONGEST_TURN)
            timeout = -1 if next_try == inf else max(0.0, next_try - time.monotonic())
            if not self._wakeup.acquire(timeout=timeout):
                with self._lock:
                    self._turns.clear()  # a turn that takes longer, or an event loop that is closed, holds up nobody

    def _next_batch(self) -> tuple[list[Call], Lane | None] | None:
        """From a lane that is due, else from what waits: as much as one transaction may hold."""
        lane = self._due_lane() if self._lanes else None
        # By turns, so that many lanes don't hold up what no lock holds up.
        self._was_lane = lane is not None and not (self._was_lane and self._waiting)
        if lane is not None and self._was_lane:
            return _first_of(lane.calls, self._most_bytes), lane
        return (_first_of(self._waiting, self._most_bytes), None) if self._waiting else None

    def _due_lane(self) -> Lane | None:
        self._lanes = {key: lane for key, lane in self._lanes.items() if lane.calls}
        lane = min(self._lanes.values(), key=attrgetter("next_try"), default=None)
        return lane if lane is not None and lane.next_try <= time.monotonic() else None

    def _set_blocked_aside(
        self, calls: Sequence[Call], outcomes: Sequence[Outcome | Blocked], lane: Lane | None
    ) -> list[tuple[Call, Outcome]]:
        """The answers to give now; calls that met a lock wait on, unless they have waited long enough."""
        answers: list[tuple[Call, Outcome]] = []
        blocked: list[tuple[Call, Blocked]] = []
        for call, outcome in zip(calls, outcomes, strict=True):
            if not isinstance(outcome, Blocked):
                answers.append((call, outcome))
            elif call.ends <= time.monotonic():
                answers.append((call, outcome.error))
            else:
                blocked.append((call, outcome))
        if blocked or lane is not None:
            with self._lock:
                self._return_to_lanes(blocked, lane)
        return answers

    def _return_to_lanes(self, blocked: Sequence[tuple[Call, Blocked]], lane: Lane | None) -> None:
        for call, outcome in reversed(blocked):
            own = lane or self._lane_for(call.operation)
            own.calls.appendleft(call)
            # What may have been done is not withdrawn: its caller would take it for undone.
            call.queue, call.is_taken = own.calls, outcome.is_in_doubt
        if lane is not None:
            lane.plan(was_blocked=bool(blocked))

    def _lane_for(self, operation: Operation) -> Lane:
        """The lane of this operation; a new one takes in whatever waits and is held up by the same lock."""
        key = self._executor.lane_of(operation)
        if key not in self._lanes:
            lane = self._lanes[key] = Lane()
            lane.calls.extend(call for call in self._waiting if self._executor.lane_of(call.operation) == key)
            self._waiting = deque(call for call in self._waiting if self._executor.lane_of(call.operation) != key)
            for queue in (lane.calls, self._waiting):
                for call in queue:
                    call.queue = queue
        return self._lanes[key]

    def _answer(self, answers: Sequence[tuple[Call, Outcome]]) -> None:
        """Wake the callers, each event loop once."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Call, Outcome]]] = {}
        for answer in answers:
            by_loop.setdefault(answer[0].loop, []).append(answer)
        for loop, given in by_loop.items():
            with self._lock:
                self._turns.add(loop)
            try:
                loop.call_soon_threadsafe(self._give_all, loop, given)
            except RuntimeError:  # the loop was closed without waiting for its tasks
                with self._lock:
                    self._turns.discard(loop)

    def _give_all(self, loop: asyncio.AbstractEventLoop, answers: Sequence[tuple[Call, Outcome]]) -> None:
        """Give the answers. Whoever gets one and saves again at once is part of this turn."""
        for call, outcome in answers:
            call.give(outcome, isinstance(outcome, Exception))
        loop.call_soon(self._end_turn, loop)


class Call(Reply):
    """An operation, and what its caller waits for."""

    __slots__ = ("ends", "is_taken", "operation", "queue")

    def __init__(self, operation: Operation, ends: float) -> None:
        super().__init__(asyncio.get_running_loop())
        self.operation = operation
        self.ends = ends
        """When it has waited long enough for a lock."""
        self.queue: deque[Call] | None = None
        """Where it waits."""
        self.is_taken = False
        """Its transaction is under way, or over."""


class Lane:
    """Calls that one lock holds up, in order. Every now and then the first of them are tried again."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque()
        self.pause = FIRST_PAUSE
        """Seconds between two tries,"""
        self.next_try = time.monotonic() + FIRST_PAUSE
        """and when the next one is due."""

    def plan(self, *, was_blocked: bool) -> None:
        """Try again, less often while the lock is held, and in time for calls that will have waited long enough by then."""
        self.pause = longer(self.pause) if was_blocked else FIRST_PAUSE
        latest = min((call.ends for call in self.calls), default=float("inf"))
        self.next_try = min(time.monotonic() + self.pause, latest) if was_blocked else 0.0


def _first_of(queue: deque[Call], most_bytes: int) -> list[Call]:
    """The first of these calls, as many as one transaction may hold, taken out of the queue."""
    calls: list[Call] = []
    touched: set[Address] = set()
    nbytes = 0
    while queue and len(calls) < MOST_OPERATIONS:
        operation = queue[0].operation
        nbytes, addresses = nbytes + operation.nbytes, operation.touched
        # What is done to one record twice is done in order, in transactions of their own.
        if calls and (nbytes > most_bytes or not touched.isdisjoint(addresses)):
            break
        touched.update(addresses)
        calls.append(queue.popleft())
        calls[-1].is_taken = True
    return calls
