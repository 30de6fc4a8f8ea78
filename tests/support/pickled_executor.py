"""The smallest executor that keeps the contract: threads of this process, between which only pickled data travels."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from spark.errors import ExecutorError, WorkerLostError
from spark.graphs.executors import Executor, Message, StepChannel, StepHandle, StepInput, StepResult, WorkerStep


class PickledExecutor(Executor):
    """Executes each step in a thread, as another process would: bytes go there, and bytes come back."""

    name: ClassVar[str] = "pickled"

    def __init__(self, *, threads: int = 4, max_in_flight: int = 64) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pickled")
        self.max_in_flight = max_in_flight
        self.steps: list[StepInput] = []
        """What it was given, as it arrived."""
        self.released: list[str] = []
        """The tokens of the results that were released."""
        self.has_begun = asyncio.Event()
        self.on_release: Callable[[], object] = lambda: None
        self.idles = 0
        self._under_way: set[PickledStep] = set()
        self._is_closed = False
        self._loops: list[asyncio.Runner] = []
        """Event loops of workers that are idle."""

    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        if self._is_closed:
            raise ExecutorError("This executor is closed.")
        sent = pickle.dumps(step)
        self.steps.append(pickle.loads(sent))
        self.has_begun.set()
        return PickledStep(self, sent, channel)

    def idle(self) -> None:
        self.idles += 1

    def close(self) -> None:
        self._is_closed = True
        for step in [*self._under_way]:
            step.lose()
        self._pool.shutdown(wait=False, cancel_futures=True)
        # In a thread: where this is called a loop may be running, which may have to reply to what still runs in one of these.
        threading.Thread(target=self._close_loops, name="pickled: closing").start()

    @contextmanager
    def loop(self) -> Iterator[asyncio.Runner]:
        """An event loop that no other step uses meanwhile, kept for later ones."""
        try:
            loop = self._loops.pop()
        except IndexError:
            loop = asyncio.Runner()
        try:
            yield loop
        finally:
            self._loops.append(loop)
            if self._is_closed:
                self._close_loops()

    def _close_loops(self) -> None:
        while self._loops:
            with suppress(IndexError):  # another thread was faster
                self._loops.pop().close()


class PickledStep(StepHandle):
    def __init__(self, executor: PickledExecutor, sent: bytes, channel: StepChannel) -> None:
        self._executor = executor
        self._channel = channel
        self._worker = WorkerStep(pickle.loads(sent), PickledLink(channel))
        self._done: Future[bytes] = Future()
        self._done.set_running_or_notify_cancel()  # who waits for it may be cancelled, and not the step with that
        executor._under_way.add(self)
        executor._pool.submit(self._run)

    async def result(self) -> StepResult:
        result: StepResult = pickle.loads(await asyncio.wrap_future(self._done))
        return result

    async def cancel(self) -> None:
        self._worker.cancel()
        await asyncio.wait([asyncio.wrap_future(self._done)])

    def release(self) -> None:
        result: StepResult = pickle.loads(self._done.result(timeout=0))
        self._executor.released.append(result.token)
        self._executor.on_release()

    def lose(self) -> None:
        """The executor is closed."""
        self._end(lambda: self._done.set_exception(WorkerLostError("The executor was closed.")))
        self._worker.cancel()

    def _run(self) -> None:
        self._channel.began()
        with self._executor.loop() as loop:
            result = pickle.dumps(self._worker.run(loop))
        self._end(lambda: self._done.set_result(result))

    def _end(self, settle: Callable[[], None]) -> None:
        self._executor._under_way.discard(self)
        with suppress(InvalidStateError):  # it was lost
            settle()


class PickledLink:
    def __init__(self, channel: StepChannel) -> None:
        self._channel = channel

    def tell(self, message: Message) -> None:
        self._channel.tell(pickle.loads(pickle.dumps(message)))

    def ask(self, message: Message) -> Any:
        answered, replies = threading.Event(), []

        def reply(value: Any) -> None:
            replies.append(pickle.dumps(value))
            answered.set()

        self._channel.ask(pickle.loads(pickle.dumps(message)), reply)
        if not answered.wait(timeout=60):
            raise ExecutorError("no reply came within a minute")
        return pickle.loads(replies[0])
