"""How a run saves: at each checkpoint that is due, behind a bounded queue, or only at the end."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime
from typing import Final

from spark.graphs.checkpoint.configuration.config import Durability
from spark.graphs.checkpoint.policies.triggers import Boundary
from spark.graphs.checkpoint.recording.capture import Capture
from spark.graphs.checkpoint.recording.recorder import Recorder
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.concurrency.uncancellable import wait_uncancellable

MOST_WAITING: Final = 8
"""With ``"async"``, as many captured checkpoints may wait to be saved; at the next one the run waits."""


def saving(recorder: Recorder, *, durability: Durability) -> SyncSaver:
    """What saves the checkpoints of one run in this mode."""
    return _MODES[durability](recorder)


class SyncSaver:
    """``"sync"``: the next step waits until the checkpoint is durable."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    @property
    def latest_sequence(self) -> int | None:
        """The sequence of the graph's latest automatic checkpoint; None when there is none."""
        return self._recorder.history.latest_sequence or None

    @property
    def latest(self) -> CheckpointInfo | None:
        """The last checkpoint that this run has made durable."""
        return self._recorder.history.latest

    def now(self) -> datetime:
        """The present, in UTC."""
        return self._recorder.now()

    def is_due(self, boundary: Boundary) -> bool:
        """Whether a trigger asks for a checkpoint here.

        :raises RuleError: a trigger raised.
        """
        return self._recorder.is_due(boundary)

    def expedite(self) -> None:
        """There is little time left: what has not begun to be saved gives way to the last checkpoint of the run."""

    async def take(self, capture: Capture) -> None:
        """Save a checkpoint that is due on the way.

        :raises CheckpointError: it, or with other modes an earlier one, could not be saved.
        """
        await self._recorder.record(capture)

    async def finish(self, capture: Capture) -> CheckpointInfo:
        """Save the last checkpoint of the run: when this returns, it is durable, and so are those before it."""
        return await self._recorder.record(capture)

    async def settle(self) -> None:
        """Before the run is left, however it ends: nothing is being saved or deleted any more.

        :raises CheckpointError: a checkpoint could not be saved, and nobody was told yet.
        """
        await self._recorder.settle()

    def abort(self) -> None:
        """There is no time left: stop what is being saved or deleted, without waiting for it."""
        self._recorder.abort()


class AsyncSaver(SyncSaver):
    """``"async"``: captured at once, saved in order beside the run, which waits only where too many are waiting.

    The first that can't be saved ends the saving; the run hears of it at its next checkpoint, or at its end.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._waiting: deque[Capture] = deque()
        """The first one is being saved."""
        self._saving: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()
        self._failure: Exception | None = None

    async def take(self, capture: Capture) -> None:
        capture.timestamp = self._recorder.now()
        while len(self._waiting) >= MOST_WAITING:
            self._progress.clear()
            await self._progress.wait()
        self._raise_failure()
        self._waiting.append(capture)
        self._begin_saving()

    async def finish(self, capture: Capture) -> CheckpointInfo:
        await self._drain()
        self._raise_failure()
        return await super().finish(capture)

    async def settle(self) -> None:
        await self._drain()
        await super().settle()
        self._raise_failure()

    def expedite(self) -> None:
        while len(self._waiting) > 1:
            self._waiting.pop()

    def abort(self) -> None:
        super().abort()
        self._waiting.clear()
        if self._saving is not None:
            self._saving.cancel()

    async def _save(self) -> None:
        try:
            while self._waiting:
                await self._recorder.record(self._waiting[0])
                self._waiting.popleft()
                self._progress.set()
        except Exception as error:
            self._failure = error
            self._waiting.clear()
        finally:
            self._progress.set()

    async def _drain(self) -> None:
        """Wait until everything that was captured is saved; what a cancellation cuts off keeps its place."""
        while self._waiting:
            saving = self._begin_saving()
            await wait_uncancellable(saving, on_cancel=saving.cancel)

    def _begin_saving(self) -> asyncio.Task[None]:
        if self._saving is None or self._saving.done():  # it may be when it is made, where tasks are eager
            self._saving = asyncio.create_task(self._save(), name="spark-graphs: saving checkpoints")
        return self._saving

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            try:
                raise failure
            finally:
                del failure  # its traceback leads to this frame


class ExitSaver(SyncSaver):
    """``"exit"``: of those due on the way only the last is kept, and saved when the run ends without another."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._last: Capture | None = None

    async def take(self, capture: Capture) -> None:
        capture.timestamp = self._recorder.now()
        self._last = capture

    async def finish(self, capture: Capture) -> CheckpointInfo:
        info = await super().finish(capture)
        self._last = None  # not before: what was due is better than nothing
        return info

    async def settle(self) -> None:
        if self._last is not None:
            await self._recorder.record(self._last)
            self._last = None
        await super().settle()


_MODES: Final[dict[object, type[SyncSaver]]] = {"sync": SyncSaver, "async": AsyncSaver, "exit": ExitSaver}
