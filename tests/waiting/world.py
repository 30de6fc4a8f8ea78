"""What is outside of a program: a clock, somebody who is paid, and a process that may be disturbed at any instant."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.clock import FakeClock
from spark_testing.faults import Answer, FaultyBackend
from tests.waiting.ledger import Ledger
from tests.waiting.model import paid

Kind = Literal["kill", "drain", "stop", "cancel"]
"""What happens to a process: it is killed, or its run asked to stop, with and without time to finish, or cancelled."""


class Disturbance(NamedTuple):
    """Something that happens to a process at one of its moments."""

    kind: Kind
    moment: int
    """From 1."""


class Killed(BaseException):
    """The process is dead. No node and no engine catches it for good, and nothing more is stored."""


class Flaky(Exception):
    """Goes away with the next attempt."""


class Declined(Exception):
    """The outcome of a call."""


class Lost(Exception):
    """Stays."""


class Broken(Exception):
    """Stays until somebody has repaired it, who is told what is broken, and the place and the attempt of the step."""


class IdleClock(FakeClock):
    """A clock on which no one has to wait: whoever sleeps moves it, as soon as nobody holds it."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self._holders = 0
        self._is_free = asyncio.Event()
        self._is_free.set()

    async def sleep(self, seconds: float) -> None:
        until = self.seconds + seconds
        await asyncio.sleep(0)
        while self._holders and self.seconds < until:
            await self._is_free.wait()
        self.advance(max(0.0, until - self.seconds))

    @contextmanager
    def held(self, by: int = 1) -> Iterator[None]:
        """Nobody else moves it meanwhile."""
        self._hold(by)
        try:
            yield
        finally:
            self._hold(-by)

    def _hold(self, by: int) -> None:
        self._holders += by
        self._is_free.clear() if self._holders else self._is_free.set()


class Process:
    """A process that runs the program, until something happens to it."""

    def __init__(self, ledger: Ledger, clock: IdleClock, disturbance: Disturbance | None = None) -> None:
        self.ledger = ledger
        self.clock = clock
        self.moments = 0
        """At so many it could have been disturbed."""
        self.is_dead = False
        self.is_stopped = False
        """Its run gets no time to finish."""
        self.stop: Callable[[Kind], None] = lambda kind: None
        """Stops its run."""
        self.disturbance = disturbance

    def moment(self) -> None:
        """Something may happen now."""
        self.check()
        self.moments += 1
        if self.disturbance is None or self.moments != self.disturbance.moment:
            return
        if self.disturbance.kind == "kill":
            self._die()
        self.is_stopped = self.disturbance.kind != "drain"
        self.stop(self.disturbance.kind)

    def check(self) -> None:
        """A dead process does nothing any more."""
        if self.is_dead:
            raise Killed

    def _die(self) -> None:
        self.is_dead = True
        self.ledger.note("killed")
        raise Killed

    def begin(self, place: str, attempt: int) -> None:
        """A step begins."""
        self.check()
        if attempt > 1 or place in self.ledger.attempts:
            self.ledger.note("attempt", place, str(attempt))

    async def pay(self, call: str) -> str:
        """What a durable call does: somebody is paid, whatever becomes of the process then."""
        self._paid(call)
        await asyncio.sleep(0)
        self.moment()
        return paid(call)

    async def pay_slowly(self, call: str) -> str:
        """The same, in some turns of the event loop."""
        result = await self.pay(call)
        for _ in range(20):
            await asyncio.sleep(0)
        return result

    def pay_plainly(self, call: str) -> str:
        """The same in a thread."""
        self._paid(call)
        return paid(call)

    async def decline(self, call: str) -> str:
        """A call that comes to nothing."""
        await self.pay(call)
        raise Declined(f"declined {call}")

    async def pay_flakily(self, call: str, failures: int) -> str:
        """A call that fails at first."""
        result = await self.pay(call)
        if self.ledger.payments[call] <= failures:
            raise Flaky
        return result

    def _paid(self, call: str) -> None:
        self.check()
        self.ledger.note("paid", call)
        self.moment()

    async def hang(self) -> None:
        """Never end."""
        self.moment()
        with self.clock.held(by=-1):
            await asyncio.Event().wait()


class RealProcess(Process):
    """This very process, which is killed."""

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


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
