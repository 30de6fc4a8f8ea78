"""Waiting for a limited time: for work that a cancellation must not lose, and for steps that do not stop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection
from typing import Any, Final

from spark.errors import GraphDefinitionError
from spark.graphs.concurrency.uncancellable import wait_for_end

TO_DRAIN: Final = 20.0
"""Seconds that running steps get to finish when a run is drained, unless the caller says otherwise. With what comes after
that, to stop them and to save, they fit into the 30 that Kubernetes gives a container."""


def checked_grace(call: str, grace: Any) -> float:
    """The seconds that running steps get to finish, when they can be that many.

    :param call: what it is an argument of.
    :raises GraphDefinitionError: they can't.
    """
    if isinstance(grace, bool) or not isinstance(grace, int | float) or not 0 <= grace < math.inf:
        raise GraphDefinitionError(
            f"{call}(grace={grace!r}): give the seconds that running nodes get to finish; 0 for none."
        )
    return grace


class GracePeriod:
    """Waits for tasks, however often the waiting is cancelled; after the first cancellation, for a limited time.

    :param seconds: the limit.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds: float = seconds
        self._deadline = float("inf")
        self.cancelled: asyncio.CancelledError | None = None
        """The first cancellation that arrived while it waited."""

    def begin(self) -> None:
        """The time begins to run, unless it does already."""
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + self.seconds)

    @property
    def remaining(self) -> float:
        """How many seconds are left; infinity before it begins."""
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def wait(
        self, tasks: Collection[asyncio.Task[Any]], seconds: float = float("inf")
    ) -> list[asyncio.Task[Any]]:
        """Wait until these tasks are done, for so many seconds at most. Returns those that are not."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        pending = [task for task in tasks if not task.done()]
        while pending and (left := min(self._deadline, until) - loop.time()) > 0:
            try:
                await wait_for_end(pending[0], None if left == float("inf") else left)
            except asyncio.CancelledError as error:
                self.cancelled = self.cancelled or error
                self.begin()
            pending = [task for task in pending if not task.done()]
        return pending
