"""Where steps leave what they tell and ask, for their run to take: an async actor, one for each driver, on its machine."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

BEGAN: Final = ("began",)
"""What a worker tells first of a step whose time is limited."""


class Mail(NamedTuple):
    """A message of a step."""

    step: int
    number: int
    """Its place among the messages of that step."""
    asked: int | None
    """Names the reply; None where none is expected."""
    message: Any
    """As it is carried."""


class Mailbox:
    """Runs in Ray. Workers put messages in, the driver takes them out, all that there are at a time."""

    def __init__(self) -> None:
        self._mail: list[Mail] = []
        self._arrived = asyncio.Event()
        self._asked = 0
        self._replies: dict[int, asyncio.Future[Any]] = {}

    async def tell(self, step: int, number: int, message: Any) -> None:
        """Leave a message."""
        self._put(Mail(step, number, None, message))

    async def ask(self, step: int, number: int, message: Any) -> Any:
        """Leave a message, and wait for the reply."""
        self._asked += 1
        asked = self._asked
        reply = self._replies[asked] = asyncio.get_running_loop().create_future()
        self._put(Mail(step, number, asked, message))
        try:
            return await reply
        finally:
            del self._replies[asked]

    async def take(self) -> list[Mail]:
        """Everything that has arrived, once something has."""
        await self._arrived.wait()
        self._arrived.clear()
        mail, self._mail = self._mail, []
        return mail

    async def reply(self, asked: int, reply: Any) -> None:
        """Deliver a reply."""
        waiting = self._replies.get(asked)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def _put(self, mail: Mail) -> None:
        self._mail.append(mail)
        self._arrived.set()
