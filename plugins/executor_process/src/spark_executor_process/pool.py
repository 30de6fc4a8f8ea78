"""The workers of one executor: who is idle, which steps wait, and when workers start and end."""

from __future__ import annotations

import atexit
import multiprocessing.util  # noqa: F401 - its own handler at exit, which waits for workers, has to come after the one below
import os
import time
import weakref
from collections import deque
from contextlib import suppress
from math import inf
from threading import TIMEOUT_MAX, RLock, Timer
from typing import Final

from spark.errors import ExecutorError, WorkerLostError
from spark_executor_process.job import Job
from spark_executor_process.settings import WorkerSettings
from spark_executor_process.worker import Worker

_POOLS: Final[weakref.WeakSet[WorkerPool]] = weakref.WeakSet()


class WorkerPool:
    """Gives each step to one worker. All methods may be called from any thread.

    :param workers: how many there are at most.
    :param recycle_after: the steps after which a worker is replaced.
    :param keep_warm: seconds that idle workers stay when no run needs the pool.
    """

    def __init__(self, settings: WorkerSettings, *, workers: int, recycle_after: int | None, keep_warm: float) -> None:
        self._settings = settings
        self._most = workers
        self._recycle_after = recycle_after
        self._keep_warm = keep_warm
        self._lock = RLock()  # the collector may call abandon() in the middle of anything
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        """The one that worked last comes last, and is taken first."""
        self._retired: set[Worker] = set()
        """Those that were asked to end, and have not yet."""
        self._waiting: deque[Job] = deque()
        self._unused_since: float | None = None
        """When the last run that used it has ended; None while there are runs."""
        self._cooling: Timer | None = None
        """Ends idle workers, once no run has used it for long enough."""
        self._is_closed = False
        _POOLS.add(self)

    def take(self, job: Job) -> Worker | None:
        """The idle worker that is to begin a step; None if the step waits until one is free.

        :raises ExecutorError: it is closed.
        """
        with self._lock:
            if self._is_closed:
                raise ExecutorError("This executor is closed. Make another, or close it after the last run only.")
            self._unused_since = None
            if self._idle:
                return self._assigned(self._idle.pop(), job)
            self._drop_abandoned()
            self._waiting.append(job)
            self._start_missing()
        return None

    def withdraw(self, job: Job) -> bool:
        """A step is not wanted any more. Returns whether it was still waiting."""
        with self._lock:
            job.is_wanted = False
            if job not in self._waiting:
                return False
            self._waiting.remove(job)
            return True

    def cancel(self, job: Job) -> None:
        """Ask the worker of a step to cancel it."""
        with self._lock:
            worker = next((worker for worker in self._workers if worker.job is job), None)
        if worker is not None:
            worker.cancel(job)

    def kill(self, job: Job) -> None:
        """Kill the worker of a step, if that has not ended."""
        with self._lock:
            for worker in self._workers:
                if worker.job is job:
                    worker.kill()

    def idle(self) -> None:
        """No run needs it for now."""
        with self._lock:
            self._unused_since = time.monotonic()
            retired = self._cooled() if self._cooling is None else []
        for worker in retired:
            worker.retire()

    def close(self) -> None:
        """End all workers, and return when they have ended; steps that are under way fail."""
        with self._lock:
            self._is_closed = True
            cooling, self._cooling = self._cooling, None
            retired, ending, others = self._retired_idle(), [*self._retired], [*self._workers]
            waiting = [*self._waiting]
            self._waiting.clear()
        for worker in retired:
            worker.retire()
        for worker in others:
            worker.kill()
        for job in waiting:
            job.settle(ExecutorError(f"The executor was closed before it began node {job.key!r}."))
        for worker in (*ending, *others):
            worker.join()
        if cooling is not None:
            cooling.cancel()
            cooling.join()

    def abandon(self) -> None:
        """The executor was collected: end all workers, without waiting for that."""
        with self._lock:
            self._is_closed = True
            workers = [*self._workers]
            if self._cooling is not None:
                self._cooling.cancel()
        for worker in workers:
            worker.kill()

    def freed(self, worker: Worker) -> Job | None:
        """A worker has started, or ended its step: the next one for it, which it has to begin. Called by its thread."""
        with self._lock:
            worker.job = None
            worn = self._recycle_after is not None and worker.steps >= self._recycle_after
            if self._is_closed or worn or self._seconds_warm() <= 0:
                self._retire(worker)
                self._start_missing()
            elif self._waiting:
                self._assigned(worker, self._waiting.popleft())
                return worker.job
            else:
                self._idle.append(worker)
                return None
        worker.retire()
        return None

    def lost(self, worker: Worker, why: str, *, was_ready: bool) -> None:
        """A worker has ended. Called by its thread.

        :param why: to be followed by what to do.
        """
        with self._lock:
            self._workers.discard(worker)
            self._retired.discard(worker)
            if worker in self._idle:
                self._idle.remove(worker)
            job, worker.job = worker.job, None
            if job is not None and not self._is_closed and job.moves():
                self._waiting.appendleft(job)
                job = None
            if job is None and not was_ready and self._waiting and not self._is_closed:
                job = self._waiting.popleft()  # or it would wait for one that never starts
            if not self._is_closed:
                self._start_missing()
        if job is not None:
            if self._is_closed:
                job.settle(_closed_during(job))
            else:
                job.settle(job.error_if_lost or WorkerLostError(f"Node {job.key!r}: {why}"))

    def forget(self) -> None:
        """This process was forked: the workers belong to the other one."""
        self._lock = RLock()
        for worker in (*self._workers, *self._retired):
            worker.forget()
        self._workers.clear()
        self._retired.clear()
        self._idle.clear()
        self._waiting.clear()
        self._cooling = None

    def _cool(self) -> None:
        """What the timer does."""
        with self._lock:
            self._cooling = None
            retired = self._cooled()
        for worker in retired:
            worker.retire()

    def _cooled(self) -> list[Worker]:
        """The idle workers that have to end, because no run has needed them for long enough. If that is later, a timer is set."""
        left = self._seconds_warm()
        if left <= 0:
            return self._retired_idle()
        if left < inf and not self._is_closed:
            timer = Timer(min(left, TIMEOUT_MAX), self._cool)
            timer.daemon = True
            with suppress(RuntimeError):  # no thread can be started: the next call tries again
                timer.start()
                self._cooling = timer
        return []

    def _seconds_warm(self) -> float:
        """So long idle workers stay at least."""
        return inf if self._unused_since is None else self._unused_since + self._keep_warm - time.monotonic()

    def _drop_abandoned(self) -> None:
        """Steps whose event loop was closed give way to those that wait."""
        self._waiting = deque(job for job in self._waiting if not job.is_abandoned)
        for worker in self._workers:
            if worker.job is not None and worker.job.is_abandoned:
                worker.kill()

    def _assigned(self, worker: Worker, job: Job) -> Worker:
        worker.job = job
        return worker

    def _retired_idle(self) -> list[Worker]:
        retired, self._idle = self._idle, []
        for worker in retired:
            self._retire(worker)
        return retired

    def _retire(self, worker: Worker) -> None:
        self._workers.discard(worker)
        self._retired.add(worker)

    def _start_missing(self) -> None:
        starting = sum(not worker.is_ready for worker in self._workers)
        for _ in range(min(len(self._waiting) - starting, self._most - len(self._workers))):
            worker = Worker(self, self._settings)
            self._workers.add(worker)
            worker.start()


def _closed_during(job: Job) -> ExecutorError:
    return ExecutorError(f"The executor was closed while node {job.key!r} was with one of its workers.")


def _close_all() -> None:
    for pool in [*_POOLS]:
        pool.close()


def _forget_all() -> None:
    for pool in [*_POOLS]:
        pool.forget()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
