"""The executor: steps go to worker processes, which stay for the next ones."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, ClassVar, Final

from spark.errors import GraphDefinitionError
from spark.graphs.executors import Executor, StepChannel, StepHandle, StepInput, StepResult
from spark_executor_process.job import Job
from spark_executor_process.pool import WorkerPool
from spark_executor_process.settings import WorkerSettings, in_bytes

_CODES: Final = ("import", "cloudpickle")
_START_METHODS: Final = ("spawn", "forkserver")


class ProcessExecutor(Executor):
    """Executes steps in worker processes of this machine, which start when they are needed and serve all runs.

    If a worker is killed or crashes, the step that it was executing loses one attempt, and another worker takes its place. Plain
    nodes can be stopped, by force: their time limits hold, whatever they do.

    :param workers: the maximum number; by default one for each CPU that this process may use.
    :param memory_limit: what one worker may allocate, in bytes or as text such as ``"500MB"``; a node that needs more fails
        with a ``MemoryError``. Only Linux keeps it.
    :param recycle_after: a worker is replaced after this many steps, against memory leaks.
    :param keep_warm: how many seconds idle workers are kept.
    :param grace: how many seconds a cancelled async node may take to end; then its worker is killed.
    :param code: ``"import"``: workers import nodes by their names. ``"cloudpickle"``: nodes and functions are sent as they are,
        those of notebooks and closures included; needs ``pip install 'spark-graphs-executor-process[cloudpickle]'``.
    :param start_method: ``"spawn"``, or ``"forkserver"`` where there is one.
    :param shared_memory_from: from this many bytes on, large buffers, such as those of arrays, go through shared memory.
    :raises GraphDefinitionError: an option is not one of these.
    """

    name: ClassVar[str] = "process"

    def __init__(
        self,
        workers: int | None = None,
        *,
        memory_limit: int | str | None = None,
        recycle_after: int | None = None,
        keep_warm: float = 60,
        grace: float = 4,
        code: str = "import",
        start_method: str = "spawn",
        shared_memory_from: int | str = "256KB",
    ) -> None:
        self.workers: int = _at_least_one("workers", _cpus() if workers is None else workers)
        self.memory_limit: int | None = None if memory_limit is None else in_bytes("memory_limit", memory_limit)
        self.recycle_after: int | None = (
            None if recycle_after is None else _at_least_one("recycle_after", recycle_after)
        )
        self.keep_warm: float = _seconds("keep_warm", keep_warm)
        self.grace: float = _seconds("grace", grace)
        self.code: str = _one_of("code", code, _CODES)
        self.start_method: str = _one_of("start_method", start_method, _START_METHODS)
        self.shared_memory_from: int = in_bytes("shared_memory_from", shared_memory_from)
        self.packs_code: bool = code == "cloudpickle"
        if self.packs_code:
            _cloudpickle()
        self.max_in_flight: int = 2 * self.workers  # one more each, so that none waits for the event loop
        self._pool = WorkerPool(
            WorkerSettings(
                start_method=self.start_method,
                memory_limit=self.memory_limit,
                shared_memory_from=self.shared_memory_from,
                packs_code=self.packs_code,
            ),
            workers=self.workers,
            recycle_after=self.recycle_after,
            keep_warm=self.keep_warm,
        )
        weakref.finalize(self, self._pool.abandon).atexit = False  # the pool sees to the end of the program

    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        job = Job(step, channel)
        handle = ProcessStep(self._pool, job, grace=self.grace)
        worker = self._pool.take(job)
        if worker is not None and job.is_small:
            worker.begin(job)
        elif worker is not None:
            sending = asyncio.get_running_loop().run_in_executor(None, worker.begin, job)
            try:
                await asyncio.shield(sending)
            except asyncio.CancelledError:
                await _whatever_comes(handle.cancel())
                raise
        return handle

    def pack(self, code: Any) -> bytes:
        packed: bytes = _cloudpickle().dumps(code)
        return packed

    def idle(self) -> None:
        """No run uses it any more: workers end when they have been idle for ``keep_warm``."""
        self._pool.idle()

    def close(self) -> None:
        """End the workers; steps that are under way fail. Steps that come later are refused."""
        self._pool.close()

    def __repr__(self) -> str:
        return f"ProcessExecutor(workers={self.workers})"


class ProcessStep(StepHandle):
    """A step that a worker executes, or that waits for one."""

    def __init__(self, pool: WorkerPool, job: Job, *, grace: float) -> None:
        self._pool = pool
        self._job = job
        self._grace = grace

    async def result(self) -> StepResult:
        return await self._job.result()

    async def cancel(self) -> None:
        job = self._job
        if self._pool.withdraw(job):
            return
        if job.is_async:
            asyncio.get_running_loop().run_in_executor(None, self._pool.cancel, job)  # waits for a worker that hangs
            if await job.until_settled(self._grace):
                return
        self._pool.kill(job)
        await job.until_settled()


async def _whatever_comes(ending: Coroutine[Any, Any, None]) -> None:
    """Wait for this to end, even if the caller is cancelled again."""
    task = asyncio.ensure_future(ending)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cloudpickle() -> Any:
    try:
        import cloudpickle  # type: ignore[import-untyped]
    except ImportError as error:
        raise GraphDefinitionError(
            "ProcessExecutor(code='cloudpickle') needs cloudpickle, which is not installed: "
            "pip install 'spark-graphs-executor-process[cloudpickle]'."
        ) from error
    return cloudpickle


def _at_least_one(name: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise GraphDefinitionError(f"ProcessExecutor({name}={given!r}): give a whole number of at least 1.")
    return given


def _seconds(name: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
        raise GraphDefinitionError(f"ProcessExecutor({name}={given!r}): give a number of seconds.")
    return given


def _one_of(name: str, given: Any, allowed: tuple[str, ...]) -> str:
    if given not in allowed:
        reason = " Forking a program that has threads and an event loop may hang." if given == "fork" else ""
        raise GraphDefinitionError(
            f"ProcessExecutor({name}={given!r}): give {' or '.join(map(repr, allowed))}.{reason}"
        )
    return str(given)
