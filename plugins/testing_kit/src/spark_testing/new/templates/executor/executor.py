"""An executor: bytes go to a worker, and bytes come back. Here, the workers are threads."""

from __future__ import annotations

import asyncio
import pickle
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar

from spark.errors import ExecutorError, WorkerLostError
from spark.graphs.executors import Executor, Message, StepChannel, StepHandle, StepInput, StepResult, WorkerStep


class ExampleExecutor(Executor):
    """Executes each step in a thread, as it would elsewhere.

    :param workers: how many steps are executed at a time.
    """

    name: ClassVar[str] = "example"

    def __init__(self, workers: int = 4) -> None:
        if workers < 1:
            raise ValueError("workers has to be at least 1.")
        self.max_in_flight = 2 * workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="example")
        self._under_way: set[ExampleStep] = set()
        self._is_closed = False

    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        if self._is_closed:
            raise ExecutorError("This executor is closed.")
        handle = ExampleStep(self._under_way, pickle.dumps(step), channel)
        self._pool.submit(handle.execute)
        return handle

    def close(self) -> None:
        self._is_closed = True
        for step in [*self._under_way]:
            step.lose()
        self._pool.shutdown(wait=False, cancel_futures=True)


class ExampleStep(StepHandle):
    """One step. ``execute`` runs in a worker; everything else in the event loop of the run."""

    def __init__(self, under_way: set[ExampleStep], sent: bytes, channel: StepChannel) -> None:
        self._under_way = under_way
        self._channel = channel
        self._worker = WorkerStep(pickle.loads(sent), _Link(channel))
        self._result: Future[bytes] = Future()
        self._result.set_running_or_notify_cancel()  # whoever waits for it may be cancelled; it is not, then
        under_way.add(self)

    async def result(self) -> StepResult:
        content: bytes = await asyncio.wrap_future(self._result)
        result: StepResult = pickle.loads(content)
        return result

    async def cancel(self) -> None:
        """Stops async nodes. Whoever has real workers can end plain ones, too: by force."""
        self._worker.cancel()
        await asyncio.wait([asyncio.wrap_future(self._result)])

    def execute(self) -> None:
        """Execute the step; what comes back are bytes."""
        self._channel.began()
        result = pickle.dumps(self._worker.run())
        self._under_way.discard(self)
        with suppress(InvalidStateError):  # it was lost
            self._result.set_result(result)

    def lose(self) -> None:
        """What executes it is gone."""
        self._under_way.discard(self)
        with suppress(InvalidStateError):  # it has just ended
            self._result.set_exception(WorkerLostError("The executor was closed while it executed this step."))
        self._worker.cancel()


class _Link:
    """How a step that runs in a worker reaches its run."""

    def __init__(self, channel: StepChannel) -> None:
        self._channel = channel

    def tell(self, message: Message) -> None:
        self._channel.tell(pickle.loads(pickle.dumps(message)))

    def ask(self, message: Message) -> Any:
        answer: Future[bytes] = Future()
        self._channel.ask(pickle.loads(pickle.dumps(message)), lambda reply: answer.set_result(pickle.dumps(reply)))
        return pickle.loads(answer.result())
