"""Steps that Ray executes: how they end, and how they are stopped."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Final

from spark.errors import ExecutorError
from spark.graphs.executors import StepHandle, StepInput, StepResult
from spark_executor_ray.executor.failures import failure_of
from spark_executor_ray.executor.inbox import Inbox
from spark_executor_ray.executor.pool import ActorPool, Member
from spark_executor_ray.executor.stopping import cancel
from spark_executor_ray.executor.transport import unpacked_result

_UNTIL_STOPPED: Final = 4.0
"""Seconds. The engine gives a step that it cancels five."""

_RELEASED: Final[Future[Any]] = Future()
_RELEASED.set_result(None)


class RayStep(StepHandle):
    """A step that a task executes.

    :param reference: of the result, an ``ObjectRef``.
    :param under_way: where it is known until it has ended.
    """

    def __init__(self, step: StepInput, reference: Any, inbox: Inbox, under_way: set[RayStep]) -> None:
        self._key, self._attempt = step.key, step.attempt
        self._reference = reference
        self._inbox = inbox
        self._under_way = under_way
        self._carried: Future[Any] = reference.future()
        under_way.add(self)

    async def result(self) -> StepResult:
        """How it ended.

        :raises WorkerLostError: its worker, its actor, or their machine is gone.
        :raises ExecutorError: there is no result for another reason.
        """
        try:
            result, told = unpacked_result(await asyncio.wrap_future(self._carried))
            await self._inbox.until(told)
        except ExecutorError:
            self._end()
            raise
        except Exception as error:
            self._end(error)
            raise failure_of(error, self._key, self._attempt) from error
        self._end()
        return result

    async def cancel(self) -> None:
        """Kill the worker that executes it, unless it has not begun."""
        self._inbox.close()
        if self._reference is not None:
            await self._stop(force=True)
        self._end()

    def release(self) -> None:
        """Ray may forget the result."""
        self._reference = None
        self._carried = _RELEASED

    def abandon(self, why: str) -> None:
        """Nobody waits for it any more, because the executor is closed or Ray is shut down. From any thread."""
        with suppress(InvalidStateError):
            self._carried.set_exception(
                ExecutorError(f"Node {self._key!r} (attempt {self._attempt}) was given up: {why}")
            )
        cancel(self._reference, force=True)

    async def _stop(self, *, force: bool) -> bool:
        """Returns whether it has ended."""
        ended = asyncio.wrap_future(self._reference.future())
        cancel(self._reference, force=force)
        ended.add_done_callback(_look_at)
        done, _ = await asyncio.wait([ended], timeout=_UNTIL_STOPPED)
        return bool(done)

    def _end(self, error: Exception | None = None) -> None:
        self._under_way.discard(self)
        self._inbox.close()


class ActorStep(RayStep):
    """A step that an actor executes beside others."""

    def __init__(
        self, step: StepInput, reference: Any, inbox: Inbox, under_way: set[RayStep], *, pool: ActorPool, member: Member
    ) -> None:
        super().__init__(step, reference, inbox, under_way)
        self._pool = pool
        self._member: Member | None = member

    async def cancel(self) -> None:
        """Cancel its coroutine. If that does not help, its actor gets no more steps, and is killed when it has no others."""
        self._inbox.close()
        if self._reference is not None and not await self._stop(force=False) and self._member is not None:
            self._pool.retire(self._member)
        self._end()

    def abandon(self, why: str) -> None:
        with suppress(InvalidStateError):
            self._carried.set_exception(
                ExecutorError(f"Node {self._key!r} (attempt {self._attempt}) was given up: {why}")
            )

    def _end(self, error: Exception | None = None) -> None:
        super()._end(error)
        member, self._member = self._member, None
        if member is not None:
            if error is not None:  # it is gone, or nobody knows what became of it
                self._pool.retire(member)
            self._pool.give_back(member)


def _look_at(ended: asyncio.Future[Any]) -> None:
    """Or asyncio would report that nobody has."""
    if not ended.cancelled():
        ended.exception()
