"""The side of the worker: what runs there as a task, and in actors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from spark.errors import ExecutorError
from spark.graphs.executors import Message, WorkerStep
from spark_executor_ray.executor.failures import IMPORT_HINT
from spark_executor_ray.executor.mailbox import BEGAN
from spark_executor_ray.executor.transport import (
    Address,
    packed_message,
    packed_result,
    unpacked_message,
    unpacked_step,
)

_NAMES: Final = 1_000
"""So many nodes have a task of their own name."""


class RayLink:
    """A ``StepLink``: messages through the mailbox of the run."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self.told = 0
        """How many messages were sent."""

    def tell(self, message: Message) -> None:
        self._send("tell", message)

    def ask(self, message: Message) -> Any:
        try:  # a future, because ray.get would let another task have the CPU of this one
            carried = self._send("ask", message).future().result()
        except Exception as error:
            raise ExecutorError(f"The run can't be reached any more: {type(error).__name__}: {error}") from error
        if carried is None:
            raise ExecutorError("The run no longer waits for this step. What it does from now on is lost.")
        return unpacked_message(carried)

    def _send(self, how: str, message: Message) -> Any:
        mailbox = _mailbox(self._address.mailbox)
        carried = packed_message(message)
        with self._lock:  # in order
            number, self.told = self.told, self.told + 1
            return getattr(mailbox, how).remote(self._address.step, number, carried)


def execute(call: Any, *, packs: bool) -> Any:
    """A task: execute a plain node."""
    worker, link = _begun(call, packs=packs)
    return packed_result(worker.run(_loop()), link.told)


class StepActor:
    """An actor: executes async nodes, many at a time."""

    def __init__(self, packs: bool) -> None:
        self._packs = packs

    async def execute(self, call: Any) -> Any:
        worker, link = _begun(call, packs=self._packs)
        result = await worker.run_async()
        return packed_result(result, link.told)


def remote_task(options: dict[str, Any], *, packs: bool) -> Callable[[str], Any]:
    """What starts a task, for the key of a node, by which Ray's own tools then call it."""
    import ray

    task: Any = ray.remote(_execute_packing if packs else _execute)

    @lru_cache(maxsize=_NAMES)
    def named(key: str) -> Any:
        return task.options(name=key, max_retries=0, **options)

    return named


def remote_actor(options: dict[str, Any], *, concurrency: int, packs: bool) -> Callable[[], Any]:
    """What starts an actor."""
    import ray

    cls: Any = ray.remote(StepActor)
    actor = cls.options(max_restarts=0, max_task_retries=0, max_concurrency=concurrency, **options)
    return lambda: actor.remote(packs)


def _execute(call: Any) -> Any:
    return execute(call, packs=False)


def _execute_packing(call: Any) -> Any:
    return execute(call, packs=True)


def _begun(call: Any, *, packs: bool) -> tuple[WorkerStep, RayLink]:
    step, address = unpacked_step(call)
    link = RayLink(address)
    if step.is_timed:
        link.tell(BEGAN)
    return WorkerStep(step, link, pack=_pack if packs else None, hint=IMPORT_HINT), link


def _pack(code: Any) -> bytes:
    from ray import cloudpickle

    made: bytes = cloudpickle.dumps(code)  # type: ignore[no-untyped-call]
    return made


@lru_cache(maxsize=1)
def _loop() -> asyncio.Runner:
    """For the tasks of this process, all of which Ray executes in one thread."""
    return asyncio.Runner()


@lru_cache(maxsize=16)
def _mailbox(name: str) -> Any:
    import ray

    return ray.get_actor(name)
