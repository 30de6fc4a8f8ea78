"""How a run saves: at each checkpoint that is due, behind a bounded queue, or only at the end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable
from typing import Final

from spark.graphs.checkpoint.configuration.config import Durability
from spark.graphs.checkpoint.recording.capture import Capture
from spark.graphs.checkpoint.recording.recorder import Recorder, SavingWatch
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.concurrency.uncancellable import wait_uncancellable

MOST_WAITING: Final = 8
"""With ``"async"``, as many captured checkpoints may wait to be saved; at the next one the run waits."""


def saver_for(recorder: Recorder, *, durability: Durability) -> Saver:
    """What saves the checkpoints of one run in this mode."""
    return _SAVERS[durability](recorder)


class Saver(ABC):
    """When a run waits for its checkpoints, and what is saved when it ends."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def watch_with(self, watch: SavingWatch) -> None:
        """Let those who watch the run know of its checkpoints."""
        self._recorder.watch = watch

    @property
    def latest_sequence(self) -> int | None:
        """The sequence of the graph's latest automatic checkpoint; None when there is none."""
        return self._recorder.history.latest_sequence or None

    @property
    def latest(self) -> CheckpointInfo | None:
        """The last checkpoint that this run has made durable."""
        return self._recorder.history.latest

    @abstractmethod
    def save(self, capture: Capture) -> Awaitable[object]:
        """Save a checkpoint that is due on the way.

        :raises CheckpointError: it, or an earlier one, could not be saved.
        """

    async def save_durably(self, capture: Capture) -> None:
        """Save a checkpoint that a running step waits for: when this returns, it is durable, unless all is saved at the end only.

        :raises CheckpointError: it, or an earlier one, could not be saved.
        """
        await self.save_last(capture)

    async def save_last(self, capture: Capture) -> CheckpointInfo:
        """Save the last checkpoint of the run: when this returns, it is durable, and so are those before it."""
        return await self._recorder.record(capture)

    async def settle(self) -> None:
        """Before the run is left, however it ends: wait until nothing is being saved or deleted any more.

        :raises CheckpointError: a checkpoint could not be saved, and the run has not heard of it yet.
        """
        await self._recorder.settle()

    def expedite(self) -> None:  # noqa: B027 - most savers keep nothing that could give way
        """There is little time left: what is not being saved yet gives way to the last checkpoint of the run."""

    def abort(self) -> None:
        """There is no time left: stop what is being saved or deleted, without waiting for it."""
        self._recorder.abort()


class SyncSaver(Saver):
    """``"sync"``: the next step waits until the checkpoint is durable."""

    def save(self, capture: Capture) -> Awaitable[object]:
        return self._recorder.record(capture)


class AsyncSaver(Saver):
    """``"async"``: captured at once, and saved in order beside the run, which waits only when too many are waiting.

    The first that can't be saved ends the saving; the run hears of it at its next checkpoint, or at its end.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._waiting: deque[Capture] = deque()
        """The first one is being saved."""
        self._saving: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()
        self._failure: Exception | None = None

    async def save(self, capture: Capture) -> None:
        capture.timestamp = self._recorder.now()
        while len(self._waiting) >= MOST_WAITING:
            self._progress.clear()
            await self._progress.wait()
        self._raise_failure()
        self._waiting.append(capture)
        self._begin_saving()

    async def save_last(self, capture: Capture) -> CheckpointInfo:
        await self._drain()
        self._raise_failure()
        return await super().save_last(capture)

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

    async def _save_waiting(self) -> None:
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
            self._saving = asyncio.create_task(self._save_waiting(), name="spark-graphs: saving checkpoints")
        return self._saving

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            try:
                raise failure
            finally:
                del failure  # its traceback leads to this frame


class ExitSaver(Saver):
    """``"exit"``: of those due on the way only the last is kept, and saved when the run ends without another."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._last: Capture | None = None

    async def save(self, capture: Capture) -> None:
        capture.timestamp = self._recorder.now()
        self._last = capture

    async def save_durably(self, capture: Capture) -> None:
        await self.save(capture)

    async def save_last(self, capture: Capture) -> CheckpointInfo:
        info = await super().save_last(capture)
        self._last = None  # not before: what was due is better than nothing
        return info

    async def settle(self) -> None:
        if self._last is not None:
            await self._recorder.record(self._last)
            self._last = None
        await super().settle()


_SAVERS: Final[dict[Durability, type[Saver]]] = {"sync": SyncSaver, "async": AsyncSaver, "exit": ExitSaver}
