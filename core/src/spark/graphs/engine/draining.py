"""Asking a run from outside to stop at a boundary: from another task, another thread, or a signal handler."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from spark.errors import GraphDefinitionError
from spark.graphs.concurrency.grace_period import checked_grace
from spark.graphs.engine.ending import Ending
from spark.graphs.engine.outcome import Drain

if TYPE_CHECKING:
    from spark.graphs.checkpoint.derived.claims import Lease
    from spark.graphs.checkpoint.model import GraphCheckpoint
    from spark.graphs.events.channel import Channel


class RunHandle:
    """A call of ``run()``, for whoever asks it to stop. A request that comes before its first step is kept until then.

    :param is_run: False for a call of something else, which nobody can ask.
    :param channels: of those who watch the run that is about to begin.
    """

    __slots__ = ("_ending", "_is_run", "_loop", "_lost", "_request", "channels", "lease", "may_wait", "resumed_from")

    def __init__(self, *, is_run: bool, may_wait: bool, channels: list[Channel]) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_run = is_run
        self._ending: Ending | None = None
        self._request: Drain | None = None
        self._lost: Exception | None = None
        self.may_wait: bool = may_wait
        """Whether the run waits for times and signals when nothing else is left, instead of returning."""
        self.lease: Lease | None = None
        """The claim on the graph that it holds, if it is to hold one."""
        self.channels: list[Channel] = channels
        """Taken, and removed from there, when the run begins."""
        self.resumed_from: GraphCheckpoint | None = None
        """What the run continues from, if it does."""

    def join(self, channel: Channel) -> bool:
        """Let one more watch the run. False if it has not begun, or is over."""
        if self._ending is None:
            return False
        run = self._ending.run
        is_first, watch = run.watch is None, run.open_watch()
        if is_first:
            watch.has_begun(self.resumed_from, seconds=run.seconds(), iteration=run.began_at)
        if not watch.is_over:
            watch.add(channel)
        return not watch.is_over

    def attach(self, ending: Ending) -> None:
        """The run is about to take steps."""
        self._ending = ending
        if self._lost is not None:
            ending.lose(self._lost)
        if self._request is not None:
            self._drain(ending, self._request)

    def detach(self) -> None:
        """The run has ended. It leads back here, so without this a garbage collector would be needed."""
        self._ending, self._is_run = None, False

    def drain(self, request: Drain) -> bool:
        """Ask it to stop, from any thread or signal handler. Returns False if it can't be asked: its event loop is closed."""
        if not self._is_run:
            return False
        self._request = request.after(self._request)
        if self._ending is None:
            return True
        self._ending.run.stop_at_boundary(request)  # now, and not only when the event loop gets to it
        try:
            self._loop.call_soon_threadsafe(self._drain, self._ending, request)
        except RuntimeError:
            return False
        return True

    async def look_for_requests(self) -> None:
        """See whether somebody in another process has asked it to stop."""
        requests = self._ending.run.requests if self._ending is not None else None
        if requests is not None:
            await requests.look()

    def lose(self, error: Exception) -> None:
        """Stop it, and save nothing, because somebody else runs the graph now. Called in its event loop."""
        self._lost = error
        if self._ending is not None:
            self._ending.lose(error)

    @staticmethod
    def _drain(ending: Ending, request: Drain) -> None:
        ending.run.stop_at_boundary(request)
        ending.limit_draining(request.grace)


def checked_drain(reason: Any, grace: Any) -> Drain:
    """The request, when it can be one.

    :raises GraphDefinitionError: an argument can't be used.
    """
    if not isinstance(reason, str):
        raise GraphDefinitionError(f"drain({reason!r}): the reason is text, or left out.")
    return Drain(reason, checked_grace("drain", grace))
