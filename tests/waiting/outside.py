"""Who answers the questions of a program and sends it messages, while a process runs it, and while none does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from random import Random
from typing import Any

from spark.errors import RunError
from spark.graphs import Interrupt
from spark.graphs.checkpoint import CheckpointManager
from tests.waiting.ledger import Ledger
from tests.waiting.model import answer_to, is_form
from tests.waiting.world import IdleClock

GRAPH = "program"


class Outside:
    """The people around a program. What they have done is in the ledger, so that others can take over.

    :param messages: name and value of each that somebody must send, in order for each name.
    """

    def __init__(
        self,
        manager: CheckpointManager,
        messages: Sequence[tuple[str, str]],
        ledger: Ledger,
        clock: IdleClock,
        random: Random,
    ) -> None:
        self._manager = manager
        self._messages = messages
        self._ledger = ledger
        self._clock = clock
        self._random = random
        self._sending: asyncio.Future[None] | None = None

    @property
    def has_sent_all(self) -> bool:
        """Whether no message is left to be sent."""
        return len(self._ledger.sent) == len(self._messages)

    async def act(self, due: datetime | None) -> dict[str, Any]:
        """Do some of what there is to do while no process runs, and let time pass. Returns answers for the next process.

        :param due: when the run goes on by itself, if the last process said so.
        """
        for _ in range(self._random.randint(0, 3)):
            if not self.has_sent_all:
                await self._send_one()
        if due is not None and self._random.random() < 0.7:
            left = (due - self._clock.utc_now()).total_seconds()
            self._clock.advance(max(0.0, left))
        open = list(await self._manager.interrupts(GRAPH))
        some = self._random.sample(open, self._random.randint(0, len(open)))
        if self._random.random() < 0.5:
            for each in some:
                self._ledger.note("given", each.payload)
            return {each.id: self._answer(each) for each in some}
        for each in some:
            await self._give_answer(each)
        return {}

    @asynccontextmanager
    async def acting_meanwhile(self) -> AsyncIterator[None]:
        """They send all messages, and answer some questions, while a process runs the program."""
        task = asyncio.create_task(self._act_meanwhile())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if self._sending is not None:
                await self._sending

    async def _act_meanwhile(self) -> None:
        for interrupt in await self._manager.interrupts(GRAPH):
            await self._pause()
            if self._random.random() < 0.5:
                await self._finishing(self._give_answer(interrupt))
        while not self.has_sent_all:
            await self._pause()
            await self._finishing(self._send_one())

    async def _pause(self) -> None:
        for _ in range(self._random.choice([0, 3, 10])):
            await asyncio.sleep(0)
        await self._clock.sleep(self._random.choice([0, 0, 1, 30]))

    async def _finishing(self, act: Any) -> None:
        """What has begun is done, even if nobody waits for it any longer."""
        self._sending = asyncio.ensure_future(act)
        await asyncio.shield(self._sending)
        self._sending = None

    async def _send_one(self) -> None:
        left = [number for number in range(len(self._messages)) if number not in self._ledger.sent]
        name, value = self._messages[self._random.choice(left)]
        number = next(number for number in left if self._messages[number][0] == name)  # in order for each name
        value = self._messages[number][1]
        for _ in range(self._random.choice([1, 1, 1, 2])):  # the second one is recognised by its key
            await self._manager.send(GRAPH, name, value, key=str(number))
        self._ledger.note("sent", str(number))

    async def _give_answer(self, interrupt: Interrupt) -> None:
        """Send an answer, unless one is on its way; sometimes then, too."""
        note = f"{interrupt.id} {interrupt.error}"
        if note in self._ledger.answered and self._random.random() < 0.8:
            return
        with suppress(RunError):  # it was answered meanwhile
            await self._manager.answer(GRAPH, {interrupt.id: self._answer(interrupt)})
        self._ledger.note("answered", note)

    def _answer(self, interrupt: Interrupt) -> Any:
        question: str = interrupt.payload
        if is_form(question) and interrupt.error is None and self._random.random() < 0.5:
            return "no number"
        return answer_to(question)
