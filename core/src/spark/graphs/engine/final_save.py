"""The checkpoint that a run makes before its first step or at its end, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final

from spark.graphs.checkpoint.recording.saving import Saver
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.concurrency.grace_period import GracePeriod
from spark.graphs.concurrency.uncancellable import wait_for_end
from spark.graphs.engine.run import GraphRun

_LAST_CHANCE: Final = 0.1
"""Seconds that a save which took too long gets to notice that it is over."""


class FinalSave:
    """Saves where a run begins or ends, in tasks of their own, so that cancelling the run does not cut them off."""

    def __init__(self, run: GraphRun, saver: Saver, grace_period: GracePeriod) -> None:
        self._run = run
        self.saver: Saver = saver
        self._grace_period = grace_period
        self.error_data: dict[str, Any] | None = None
        """What to record of the failure that ends the run."""
        self.saved: CheckpointInfo | None = None
        """What the last save here has made; None if it made nothing."""

    async def save(self, reason: str | None) -> BaseException | None:
        """Save the present boundary, and wait until nothing is being saved or deleted any more. Returns what went wrong.

        :param reason: what the checkpoint is made for; None makes none and only waits.
        """
        while True:
            task = asyncio.create_task(self._save(reason), name="spark-graphs: saving the last checkpoint")
            if await self._grace_period.wait([task]):
                self.saver.abort()
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await wait_for_end(task, _LAST_CHANCE)
                return TimeoutError(f"it took longer than cancel_grace, {self._grace_period.seconds:g} s")
            failure = asyncio.CancelledError() if task.cancelled() else task.result()
            # An event loop that is shut down cancels all its tasks, this one too: start again.
            if not isinstance(failure, asyncio.CancelledError) or self._grace_period.cancelled is None:
                return failure

    async def _save(self, reason: str | None) -> BaseException | None:
        if self._run.autosave is not None:
            await self._run.autosave.settle()
        failure = await _error_of(self._save_boundary(reason)) if reason is not None else None
        unsettled = None
        try:
            if failure is None or isinstance(failure, Exception):
                unsettled = await _error_of(self.saver.settle())
            return failure or unsettled
        finally:
            failure = unsettled = None  # from Python 3.12 on, their tracebacks keep this frame alive

    async def _save_boundary(self, reason: str) -> None:
        run, position = self._run, self._run.position
        self.saved = None
        position.error = self.error_data or position.error
        capture = run.capture_end(reason=reason)
        capture.is_repeat = run.spec.is_resumed and run.is_where_it_began() and reason != "completed"
        try:
            self.saved = await self.saver.save_last(capture)
            run.services.trigger.raise_failure()
        except Exception as error:
            position.explain(error)
            raise


async def _error_of(work: Awaitable[object]) -> BaseException | None:
    """What the work raises, as a value: a SystemExit that left a task would end the event loop."""
    try:
        await work
    except BaseException as error:
        return error
    return None
