"""What is outside of a program: somebody who is paid, a person who answers, and a process that may be killed at any instant."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.faults import Answer, FaultyBackend
from tests.waiting.model import paid


class Killed(BaseException):
    """The process is dead. No node and no engine catches it for good, and nothing more is stored."""


class Flaky(Exception):
    """Goes away with the next attempt."""


class Lost(Exception):
    """Stays."""


class Process:
    """A process that runs the program, until it is killed at one of the moments at which it may be.

    :param kill_at: the number of that moment, from 1; None: it lives.
    """

    def __init__(self, world: World, *, kill_at: int | None = None) -> None:
        self.world = world
        self.moments = 0
        self.is_dead = False
        self._kill_at = kill_at
        self._under_way: Counter[str] = Counter()

    def moment(self) -> None:
        """The process may be killed now."""
        self.moments += 1
        if self.moments == self._kill_at:
            self.is_dead = True
            self.world.may_repeat += self._under_way
        self.check()

    def check(self) -> None:
        """A dead process does nothing any more."""
        if self.is_dead:
            raise Killed

    async def pay(self, call: str) -> str:
        """What a durable call does: somebody is paid, whatever becomes of the process then."""
        self.check()
        self.world.payments[call] += 1
        self._under_way[call] += 1
        self.moment()
        await asyncio.sleep(0)
        self.moment()
        return paid(call)

    def is_recorded(self, call: str) -> None:
        """The step has the result, so no other process pays again."""
        if not self.is_dead:
            del self._under_way[call]


class World:
    """What outlives processes."""

    def __init__(self) -> None:
        self.payments: Counter[str] = Counter()
        self.may_repeat: Counter[str] = Counter()
        """The calls that were under way when a process was killed, each time."""


class Mortal(FaultyBackend):
    """A store as a process has it that may be killed before or after everything that it stores or deletes."""

    def __init__(self, inner: CheckpointBackend, process: Process) -> None:
        super().__init__(inner)
        self._process = process

    async def _call(self, method: str, act: Callable[[], Awaitable[Answer]]) -> Answer:
        changes = method.startswith(("put", "delete", "forget"))
        self._process.moment() if changes else self._process.check()
        answer = await act()
        self._process.moment() if changes else self._process.check()
        return answer
