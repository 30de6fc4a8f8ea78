"""What one execution of a step asks of its journal: it gets back what was recorded, and records or waits for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NoReturn

from spark.errors import StepSuspended
from spark.graphs.definition.step import StepInput
from spark.graphs.state.journal import Entry


class StepJournal:
    """The journal of a step, while the step is executed."""

    __slots__ = ("_counts", "_idle", "_in_flight", "step", "waits")

    def __init__(self, step: StepInput) -> None:
        self.step: StepInput = step
        self.waits: dict[str, Entry] = {}
        """What this execution waits for, by key. If there is anything, the step is suspended when the node ends."""
        self._counts: dict[str, int] = {}
        """Key to how often this execution has asked for it."""
        self._in_flight = 0
        """How many durable calls are under way."""
        self._idle = asyncio.Event()

    def now(self) -> datetime:
        """The present, aware."""
        return self.step.scope.now()

    def next_key(self, kind: str, key: str) -> str:
        """The key of the entry that is asked for: ``"call:charge"``, then ``"call:charge#2"``; without a key ``"sleep:1"``…"""
        name = f"{kind}:{key}"
        count = self._counts[name] = self._counts.get(name, 0) + 1
        if not key:
            return f"{name}{count}"
        return name if count == 1 else f"{name}#{count}"

    def entry(self, key: str) -> Entry | None:
        """What is recorded under this key; None when nothing is."""
        entry = self.step.scope.entries(self.step.token).get(key)
        if entry is None or "aside" not in entry:
            return entry
        return {name: value for name, value in entry.items() if name != "aside"}  # the step comes here again

    async def record(self, key: str, entry: Entry) -> Entry:
        """Keep an entry. Returns it as it is kept, once it is durable.

        :raises SerializationError: it can't be saved.
        """
        return await self.step.scope.record(self.step.token, key, entry)

    @asynccontextmanager
    async def call_under_way(self) -> AsyncIterator[None]:
        """A durable call is under way: nothing else suspends the step before it has ended."""
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def wait(self, key: str, entry: Entry) -> NoReturn:
        """Suspend the step until the entry is closed. What the step does at the same time gets to its own waits before.

        :raises StepSuspended: always.
        """
        self.waits[key] = entry
        await asyncio.sleep(0)  # what was begun beside this, for instance by gather(), gets as far as this
        while self._in_flight:
            await self._idle.wait()
        raise StepSuspended(key)


def is_suspension(error: BaseException) -> bool:
    """Whether this is how a step ends that is suspended: also in the group that a ``TaskGroup`` raises."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_suspension, error.exceptions))
    return isinstance(error, StepSuspended)
