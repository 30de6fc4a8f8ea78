"""What one execution of a node is given: plain data, and what it may read of committed state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from spark.graphs.state.journal import Entry
from spark.graphs.state.step_state import Ended
from spark.graphs.state.token import Token
from spark.graphs.state.transactions import StateView, StateWrites
from spark.graphs.values.log_fields import log_fields


class AroundElsewhere(Protocol):
    """What is done around a step that is executed elsewhere."""

    sent: dict[str, dict[str, str]]
    """What is to be entered there: the name of a function to the texts that it is called with."""

    def begin(self, number: int, key: str) -> dict[str, dict[str, str]]:
        """A durable call begins. Returns what is to be entered around it there."""

    def end(self, number: int, error: BaseException | None) -> None:
        """It has ended."""

    def close(self) -> None:
        """The step has ended."""


class Scope(Protocol):
    """The run that a step belongs to, as the step sees it: plain values, and views of what is committed."""

    @property
    def graph_id(self) -> str: ...

    @property
    def run_id(self) -> str: ...

    @property
    def iteration(self) -> int: ...

    @property
    def state(self) -> StateView: ...

    @property
    def has_inbox(self) -> bool:
        """Whether messages that are sent to the graph can reach it."""

    @property
    def is_stopping(self) -> bool:
        """Whether the run begins nothing new any more."""

    def node_state(self, key: str) -> StateView: ...

    def now(self) -> datetime:
        """The present, aware."""

    def entries(self, token: Token) -> Mapping[str, Entry]:
        """What the journal holds for a step."""

    def is_in_step(self, token: Token) -> bool:
        """Whether the current task is the one that executes the step, and not a task that the step has made."""

    def emit(self, step: Step, value: Any, *, is_own: bool = False) -> Awaitable[None]:
        """Send a value to those who watch the run, from any thread. Awaited, it waits until they have caught up.

        :param is_own: nobody can change the value afterwards, so it need not be copied.
        """

    def around_call(self, step: Step, key: str) -> AbstractAsyncContextManager[Any] | None:
        """What is done around a durable call that a step makes; None where nobody watches the run."""

    def around_elsewhere(self, step: Step) -> AroundElsewhere | None:
        """What is done around a step that an executor executes, and around its durable calls; None if nothing is."""

    async def prepare_call(self) -> None:
        """Before a durable call is made: let the store know the run, so that idempotency keys are the same again after a kill.

        Raises an error if nothing can be recorded: the run has ended, or could not save what it recorded before.
        """

    async def record(self, token: Token, key: str, entry: Entry) -> None:
        """Put an entry into the journal of a step. When this returns, it is durable."""

    async def commit(self, token: Token, graph_writes: StateWrites | None, node_writes: StateWrites | None) -> None:
        """Apply what a running step has written so far, which begins anew then. Returns once it is durable."""


class Step:
    """One execution of one node, as its executor gets it."""

    __slots__ = ("scope", "token")

    def __init__(self, scope: Scope, token: Token) -> None:
        self.scope: Scope = scope
        self.token: Token = token
        """What is executed, with its inputs: plain data."""

    @property
    def node(self) -> str:
        """The key of the node to execute."""
        return self.token.node

    @property
    def attempt(self) -> int:
        """1 for the first execution; one more after each that failed."""
        return self.token.failures + 1

    @property
    def idempotency_key(self) -> str:
        """Names this piece of work: the same for each attempt, another for every other step and run."""
        return f"{self.scope.graph_id}/{self.scope.run_id}/{self.token.lineage:x}"

    @property
    def log_fields(self) -> dict[str, Any]:
        """What a log record about it has in ``extra``."""
        scope = self.scope
        return log_fields(
            scope.graph_id, run_id=scope.run_id, iteration=scope.iteration, node=self.node, attempt=self.attempt
        )

    def is_current(self) -> bool:
        """Whether the current task executes the step itself, and is none that the step has made."""
        return self.scope.is_in_step(self.token)

    def beat(self) -> None:
        """The execution gives a sign of life."""

    def queue(self) -> None:
        """The execution waits for a place elsewhere: until it begins, no time counts."""

    def begin(self) -> None:
        """The execution begins now, and with it the time that it may take."""

    def when_over(self, call: Callable[[Ended], object]) -> None:
        """Have this called when its time is up: nothing that it does from then on counts."""

    def is_timed(self) -> bool:
        """Whether its time is limited, so that it counts when the execution begins."""
        return False

    def deadline(self) -> float | None:
        """Seconds that the execution may take; None for no limit."""
        return None

    def __repr__(self) -> str:
        return f"<Step of {self.node!r}, {self.idempotency_key}>"
