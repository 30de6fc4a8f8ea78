"""Group commit: one thread writes for all graphs of a process, and takes everything that waits into one transaction."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Final, Protocol

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import Reply
from spark_backend_sql.operations import Address, Blocked, Operation, Outcome
from spark_backend_sql.patience import FIRST_PAUSE, WAIT, longer

MOST_OPERATIONS: Final = 256
"""A transaction holds at most this many operations,"""
MOST_BYTES: Final = 16 * 1024 * 1024
"""and about this many bytes; a single record may be larger."""

Commit = Callable[[Sequence[Operation], float | None], Sequence[Outcome | Blocked]]
"""Carries out operations in one transaction, and gives an outcome for each; never raises. With seconds, that is how long
it waits for a lock that was in the way before."""


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

    __slots__ = ("ends", "is_taken", "operation", "queue", "reply")

    def __init__(self, operation: Operation, ends: float) -> None:
        self.operation = operation
        self.ends = ends
        """When it has waited long enough for somebody's lock."""
        self.queue: deque[Call] | None = None
        """Where it waits."""
        self.reply = Reply(asyncio.get_running_loop())
        self.is_taken = False
        """Its transaction is under way, or over."""


class Lane:
    """Calls that one lock holds up, in order; every now and then it is seen whether that is gone."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque()
        self.pause = FIRST_PAUSE
        """Seconds between two tries,"""
        self.next_try = time.monotonic() + FIRST_PAUSE
        """and when the next one is due."""

    def plan(self, *, was_blocked: bool) -> None:
        """Try again, less often while the lock is there, and in time for those that have waited long enough by then."""
        self.pause = longer(self.pause) if was_blocked else FIRST_PAUSE
        latest = min((call.ends for call in self.calls), default=float("inf"))
        self.next_try = min(time.monotonic() + self.pause, latest) if was_blocked else 0.0


class Writer:
    """Queues operations, and commits them in order in a thread that starts with the first and ends with ``stop``.

    :param inline: asked first about an operation that comes while there is nothing else to do.
    :param lane_of: what the operations have in common that one lock holds up.
    :param wait: seconds that a call waits for somebody's lock.
    """

    def __init__(
        self,
        commit: Commit,
        inline: Inline | None = None,
        *,
        lane_of: Callable[[Operation], str] = attrgetter("graph_id"),
        wait: float = WAIT,
    ) -> None:
        self._commit = commit
        self._inline = inline
        self._lane_of = lane_of
        self._wait = wait
        self._is_stopping = False
        self._begin()

    def _begin(self) -> None:
        self._thread: threading.Thread | None = None
        self._waiting: deque[Call] = deque()
        self._lanes: dict[str, Lane] = {}
        """Beside what waits: what met a lock, and whatever is held up by the same one."""
        self._was_lane = False
        """The last transaction was for a lane."""
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
        call = Call(operation, time.monotonic() + self._wait)
        self._add(call)
        try:
            deleted: list[int] = await call.reply.wait()
        except asyncio.CancelledError:
            if not self._withdraw(call):
                operation.is_wanted = False
                await call.reply.wait_uncancellable()
            raise
        return deleted

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
            return self._is_idle and not self._lanes and not self._is_stopping and self._turn.acquire(blocking=False)

    def _add(self, call: Call) -> None:
        with self._lock:
            if self._is_stopping:
                raise BackendError("The sql backend is closed and can't be used any more; make a new one.")
            lane = self._lanes.get(self._lane_of(call.operation)) if self._lanes else None
            call.queue = self._waiting if lane is None else lane.calls
            call.queue.append(call)
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
            assert call.queue is not None
            call.queue.remove(call)
            return True

    def _serve(self) -> None:
        while batch := self._take():
            calls, lane = batch
            with self._turn:
                outcomes = self._timed([call.operation for call in calls], None if lane is None else lane.pause / 10)
            answers = self._set_blocked_aside(calls, outcomes, lane)
            self._rest()  # before the answer: whoever hears it may find the next thing to do
            _answer(answers)

    def _rest(self) -> None:
        with self._lock:
            self._is_idle = not self._waiting

    def _timed(self, operations: Sequence[Operation], lock_wait: float | None) -> Sequence[Outcome | Blocked]:
        began = time.perf_counter()
        outcomes = self._commit(operations, lock_wait)
        if self._inline is not None and len(operations) == 1:
            self._inline.handed_over(time.perf_counter() - began)
        return outcomes

    def _take(self) -> tuple[list[Call], Lane | None] | None:
        """What goes into the next transaction, and the lane that it comes from, if any; None when the writer has stopped."""
        while True:
            with self._lock:
                batch = self._next_batch()
                if batch or (self._is_stopping and not self._lanes):
                    self._is_idle = False
                    self._bell.acquire(blocking=False)  # rung while the thread was on its way here
                    return batch
                self._is_idle = True
                next_try = min((lane.next_try for lane in self._lanes.values()), default=None)
            self._bell.acquire(timeout=-1 if next_try is None else max(0.0, next_try - time.monotonic()))

    def _next_batch(self) -> tuple[list[Call], Lane | None] | None:
        """Of a lane whose time has come, else of what waits: as much as one transaction may hold."""
        lane = self._due_lane() if self._lanes else None
        # By turns, so that many lanes don't keep waiting what no lock holds up.
        self._was_lane = lane is not None and not (self._was_lane and self._waiting)
        if lane is not None and self._was_lane:
            return _first_of(lane.calls), lane
        return (_first_of(self._waiting), None) if self._waiting else None

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
        key = self._lane_of(operation)
        if key not in self._lanes:
            lane = self._lanes[key] = Lane()
            lane.calls.extend(call for call in self._waiting if self._lane_of(call.operation) == key)
            self._waiting = deque(call for call in self._waiting if self._lane_of(call.operation) != key)
            for queue in (lane.calls, self._waiting):
                for call in queue:
                    call.queue = queue
        return self._lanes[key]


def _first_of(queue: deque[Call]) -> list[Call]:
    """The first of these calls, as many as one transaction may hold, taken out of the queue."""
    calls: list[Call] = []
    touched: set[Address] = set()
    nbytes = 0
    while queue and len(calls) < MOST_OPERATIONS:
        operation = queue[0].operation
        nbytes += operation.nbytes
        # What is done to one record twice is done in order, in transactions of their own.
        if calls and (nbytes > MOST_BYTES or not touched.isdisjoint(operation.touched)):
            break
        touched.update(operation.touched)
        calls.append(queue.popleft())
        calls[-1].is_taken = True
    return calls


def _answer(answers: Sequence[tuple[Call, Outcome]]) -> None:
    """Wake the callers, each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Reply, Outcome]]] = {}
    for call, outcome in answers:
        by_loop.setdefault(call.reply.loop, []).append((call.reply, outcome))
    for loop, given in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed without waiting for its tasks
            loop.call_soon_threadsafe(_give_all, given)


def _give_all(answers: Sequence[tuple[Reply, Outcome]]) -> None:
    for reply, outcome in answers:
        reply.give(outcome, isinstance(outcome, Exception))
