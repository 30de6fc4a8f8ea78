"""Messages of a step to its run."""

from __future__ import annotations

import asyncio
from typing import Any

from spark.graphs.executors.contract import StepLink
from spark.graphs.executors.failures import raise_from
from spark.graphs.executors.messages import Message
from spark.graphs.executors.values import ValueCodec


class Line:
    """Messages to the run, and replies that are errors."""

    def __init__(self, link: StepLink, codec: ValueCodec) -> None:
        self._link = link
        self.codec = codec

    def tell(self, message: Message) -> None:
        """Send a message that needs no reply."""
        self._link.tell(message)

    def ask(self, message: Message) -> Any:
        """Send a message, and wait for the reply.

        :raises Exception: what the run says went wrong.
        """
        is_right, reply = self._link.ask(message)
        if not is_right:
            raise_from(reply, self.codec)
        return reply

    async def ask_async(self, message: Message) -> Any:
        """The same without holding up the event loop."""
        return await asyncio.get_running_loop().run_in_executor(None, self.ask, message)
