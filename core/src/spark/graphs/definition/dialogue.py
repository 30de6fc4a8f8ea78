"""What a step asks the world outside, of every kind. Loaded when the first node of a program asks for something."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from spark.errors import NodeError
from spark.graphs.concurrency.blocking import Threads
from spark.graphs.definition.calls import DurableCalls, RecordErrors
from spark.graphs.definition.questions import ask, checked_key
from spark.graphs.definition.signals import wait_for
from spark.graphs.definition.step_journal import StepJournal
from spark.graphs.definition.timers import sleep, sleep_until
from spark.graphs.state.journal import CALL, QUESTION


class Dialogue(StepJournal):
    """The journal of a step, with what its context offers. What each method promises, ``NodeContext`` says."""

    __slots__ = ()

    def interrupt(self, payload: Any, *, key: str | None, schema: Any) -> Coroutine[Any, Any, Any]:
        """As ``context.interrupt``."""
        return ask(self, self.next_key(QUESTION, checked_key(key)), payload, key=key, schema=schema)

    def durable(self, *, record_errors: RecordErrors, threads: Threads | None) -> DurableCalls:
        """As ``context.durable``."""
        return DurableCalls(self, record_errors=record_errors, threads=threads)

    def coming_call(self, key: str) -> str:
        """How the next durable call with this key differs from the others of the step."""
        return self.coming_key(CALL, key).partition(":")[2]

    async def sleep(self, duration: timedelta | float) -> None:
        """As ``context.sleep``."""
        await sleep(self, duration)

    async def sleep_until(self, moment: datetime) -> None:
        """As ``context.sleep_until``."""
        await sleep_until(self, moment)

    async def wait_for(self, name: str, *, timeout: timedelta | float | None, default: Any) -> Any:  # noqa: ASYNC109 - as the context has it
        """As ``context.wait_for``."""
        return await wait_for(self, name, timeout=timeout, default=default)


class NoDialogue:
    """What a plain node has instead while it runs in the event loop, where it could not await any of it.

    :param node: its key.
    """

    def __init__(self, node: str) -> None:
        self._node = node

    def current_call(self) -> str | None:
        """It makes no durable calls."""
        return None

    def __getattr__(self, name: str) -> NoReturn:
        raise plain_node_error(self._node, f"{_CALLED.get(name, name)}()")


_CALLED: Final = {"durable": "run", "coming_call": "idempotency_key_for"}
"""What a context calls what is called otherwise here."""


def plain_node_error(node: str, what: str) -> NodeError:
    """Why a plain node can't do this."""
    return NodeError(
        f"Node {node!r} is a plain function, which runs in a thread, and context.{what} belongs to the event loop of the run. "
        "Make the node async; what blocks can stay plain: await context.run(key, function, …) runs it in a thread."
    )
