"""What one execution of a node is given: plain data, and what it may read of committed state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from spark.graphs.state.journal import Entry
from spark.graphs.state.token import Token
from spark.graphs.state.transactions import StateView, StateWrites


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

    def node_state(self, key: str) -> StateView: ...

    def now(self) -> datetime:
        """The present, aware."""

    def entries(self, token: Token) -> Mapping[str, Entry]:
        """What the journal holds for a step."""

    def is_in_step(self, token: Token) -> bool:
        """Whether the current task is the one that executes the step, and not a task that the step has made."""

    async def prepare_call(self) -> None:
        """Before a durable call is made: let the store know the run, so that idempotency keys are the same again after a kill.

        Raises an error if nothing can be recorded: the run has ended, or could not save what it recorded before.
        """

    async def record(self, token: Token, key: str, entry: Entry) -> None:
        """Put an entry into the journal of a step. When this returns, it is durable."""

    async def commit(self, token: Token, graph_writes: StateWrites | None, node_writes: StateWrites | None) -> None:
        """Apply what a running step has written so far, which begins anew then. Returns once it is durable."""


class StepInput:
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

    def is_current(self) -> bool:
        """Whether the current task executes the step itself, and is none that the step has made."""
        return self.scope.is_in_step(self.token)

    def beat(self) -> None:
        """The execution gives a sign of life."""

    def __repr__(self) -> str:
        return f"<StepInput of {self.node!r}, {self.idempotency_key}>"
