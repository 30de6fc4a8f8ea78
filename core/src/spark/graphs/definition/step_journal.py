"""What one execution of a step asks of its journal: it gets back what was recorded, and records or waits for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final, NoReturn

from spark.errors import NodeError, RunError, StepSuspended
from spark.graphs.definition.step import Step
from spark.graphs.state.journal import CALL, Entry
from spark.graphs.values.snapshots import snapshot

_UNDER_WAY: Final[ContextVar[tuple[StepJournal, str] | None]] = ContextVar("spark_durable_call", default=None)
"""The durable call that this code runs in: of which step, and the key of its entry."""
_TURNS: Final = 4
"""So many turns of the event loop what runs beside a wait gets to its own waits, in tasks of tasks of ``gather()``, too."""


class StepJournal:
    """The journal of a step, while the step is executed.

    :raises RunError: there is no event loop here, because the node is a plain one.
    """

    __slots__ = (
        "_asked",
        "_calls",
        "_counts",
        "_has_ended",
        "_idle",
        "_in_flight",
        "_is_counting",
        "_may_suspend",
        "_recorded",
        "_turns",
        "is_sure_of_order",
        "step",
        "waits",
    )

    def __init__(self, step: Step) -> None:
        self.step: Step = step
        self.waits: dict[str, Entry] = {}
        """What this execution waits for, by key. If there is anything, the step is suspended when the node ends."""
        self._counts: dict[str, int] = {}
        """Kind and key to how often this execution has asked for it."""
        self._asked: dict[str, None] = {}
        """The keys of the entries that it has asked for."""
        self._calls = 0
        """How many durable calls the step itself has begun, and not tasks of its own."""
        self._recorded: dict[int, str] | None = None
        """The keys of those that were recorded before this execution, by their number."""
        self.is_sure_of_order: bool = True
        """No call has failed without a record. If one has, its repetition may not, and the step go another way."""
        self._in_flight = 0
        """How many durable calls are under way."""
        self._idle = asyncio.Event()
        """Set when none is."""
        self._idle.set()
        self._may_suspend = asyncio.Event()
        """What runs beside the waits has got to its own."""
        self._turns = 0
        self._is_counting = False
        self._has_ended = False

    def now(self) -> datetime:
        """The present, aware."""
        return self.step.scope.now()

    def next_key(self, kind: str, key: str) -> str:
        """The key of the entry that is asked for: ``"call:charge"``, then ``"call:charge#2"``; without a key ``"sleep:1"``…

        Whatever keys there are, no two calls of this in one execution get the same.

        :raises NodeError: what runs in a durable call asks for something that it would have to wait for.
        """
        self._check_not_ended()
        if kind != CALL and (call := self.current_call()) is not None:
            raise NodeError(
                f"Node {self.step.node!r} waits ({kind}) within its durable call {call!r}. A call is made in one go, and its "
                "result recorded: wait before it, or after it, in the node itself."
            )
        self._stir()
        name, count = self._free_key(kind, key)
        self._counts[f"{kind}:{key}"] = count
        self._asked[name] = None
        return name

    def coming_key(self, kind: str, key: str) -> str:
        """What ``next_key`` would return."""
        return self._free_key(kind, key)[0]

    def has_asked(self, name: str) -> bool:
        """Whether this execution has asked for the entry."""
        return name in self._asked

    def current_call(self) -> str | None:
        """The durable call of this step that the code which asks runs in: ``"charge"``, ``"charge#2"``; None outside of one."""
        found = _UNDER_WAY.get()
        return found[1].partition(":")[2] if found is not None and found[0] is self else None

    def next_number(self) -> int | None:
        """The place of a durable call in the order in which the step begins them; None where tasks of its own do so."""
        if not self.step.is_current():
            return None
        if self._recorded is None:
            entries = self.step.scope.entries(self.step.token)
            self._recorded = {entry["number"]: key for key, entry in entries.items() if "number" in entry}
        self._calls += 1
        return self._calls

    def recorded_as(self, number: int) -> str | None:
        """The key of the durable call that had this number before the step was repeated, if it was recorded."""
        return self._recorded.get(number) if self._recorded else None

    def entry(self, key: str) -> Entry | None:
        """What is recorded under this key; None when nothing is."""
        entry = self.step.scope.entries(self.step.token).get(key)
        if entry is None or "aside" not in entry:
            return entry
        return {name: value for name, value in entry.items() if name != "aside"}  # the step comes here again

    def kept(self, value: Any, *, path: str) -> Any:
        """A value as an entry keeps it.

        :param path: how an error names the value.
        :raises SerializationError: it can't be saved.
        """
        return snapshot(value, path=f"{path} of node {self.step.node!r}", check=self.step.scope.state.check)

    async def record(self, key: str, entry: Entry) -> None:
        """Keep an entry of values that are ``kept``. When this returns, it is durable.

        :raises RunError: the step has ended, and nobody would get it back.
        :raises CheckpointError: it could not be saved.
        """
        self._check_not_ended()
        await self.step.scope.record(self.step.token, key, entry)

    @asynccontextmanager
    async def call_under_way(self, name: str) -> AsyncIterator[None]:
        """A durable call is under way: nothing else suspends the step before it has ended.

        :param name: the key of its entry.
        :raises RunError: what it returns could not be recorded.
        """
        self._check_not_ended()
        self._in_flight += 1
        self._idle.clear()
        outer = _UNDER_WAY.set((self, name))
        try:
            await self.step.scope.prepare_call()
            yield
        except BaseException:
            self.is_sure_of_order = False
            raise
        finally:
            with suppress(ValueError):  # the coroutine is closed by the garbage collector, elsewhere
                _UNDER_WAY.reset(outer)
            self._in_flight -= 1
            self._stir()
            if not self._in_flight:
                self._idle.set()

    @staticmethod
    def failure_in(error: BaseException) -> BaseException | None:
        """How a step failed that raised this; None if it is suspended, even by the group that a ``TaskGroup`` raises."""
        if isinstance(error, StepSuspended):
            return None
        if isinstance(error, BaseExceptionGroup):
            return error.split(StepSuspended)[1]
        return error

    async def until_calls_end(self) -> None:
        """Wait for the durable calls that are under way: what was paid for is recorded, however the step ends."""
        while self._in_flight:
            await self._idle.wait()

    async def wait(self, key: str, entry: Entry) -> NoReturn:
        """Suspend the step until the entry is closed. What the step does at the same time gets to its own waits before.

        :raises StepSuspended: always.
        """
        self._check_not_ended()
        self.waits[key] = entry
        self._stir()
        try:
            await self._may_suspend.wait()
        except asyncio.CancelledError:  # the step no longer waits for this
            del self.waits[key]
            raise
        raise StepSuspended(key)

    def end(self) -> None:
        """The node has returned or raised."""
        self._has_ended = True

    def _free_key(self, kind: str, key: str) -> tuple[str, int]:
        name = f"{kind}:{key}"
        count = self._counts.get(name, 0) + 1
        while (free := _numbered(name, count, has_key=bool(key))) in self._asked:
            count += 1
        return free, count

    def _check_not_ended(self) -> None:
        if self._has_ended:
            raise RunError(
                f"This step of node {self.step.node!r} has ended, so its context can't record, ask or wait any more. Await "
                "helper tasks before the end of the step: TaskGroup does."
            )

    def _stir(self) -> None:
        """Something of the step is still moving: what waits gives it some turns."""
        self.step.beat()
        self._turns = _TURNS
        if self.waits and not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._count_down)

    def _count_down(self) -> None:
        self._is_counting = False
        if self._in_flight or not self.waits:
            return
        if not self._turns:
            self._may_suspend.set()
            return
        self._turns -= 1
        self._is_counting = True
        asyncio.get_running_loop().call_soon(self._count_down)


def _numbered(name: str, count: int, *, has_key: bool) -> str:
    if not has_key:
        return f"{name}{count}"
    return name if count == 1 else f"{name}#{count}"
