"""Handlers and plugins that are told of the events of a run: beside it, in batches, without holding it up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any, Final

from spark.graphs.concurrency.uncancellable import wait_for_end, wait_until_done
from spark.graphs.events.channel import Channel
from spark.graphs.events.kinds import Event
from spark.graphs.values.log_fields import log_fields
from spark.hooks.events import LONGEST, tell, why_not_now
from spark.hooks.plugin import Listener

_LOG = logging.getLogger("spark.graphs")
_BUFFER: Final = 10_000
_BATCH: Final = 1_000


class Observing:
    """Gives the events of one run to those who listen, until the run has ended.

    :param listeners: their functions, which take an ``event``.
    """

    def __init__(self, listeners: Sequence[Listener], *, graph_id: str, run_id: str) -> None:
        self.channel: Channel = Channel(buffer=_BUFFER, overflow="drop_oldest")
        self._log_fields = log_fields(graph_id, run_id=run_id)
        self._told = [_Told(listener, log_fields=self._log_fields) for listener in listeners]
        self._run = f"run {run_id} of graph {graph_id!r}"
        self._dropped = 0
        self._delivering = asyncio.create_task(self._deliver(), name="spark-graphs: observers")

    async def finish(self) -> None:
        """The run has ended: wait until all is delivered, ten seconds at most."""
        self.channel.end()
        try:
            await wait_for_end(self._delivering, LONGEST)
        finally:
            self._dropped += len(self.channel)
            self.channel.close()
            self._delivering.cancel()
        await wait_until_done(self._delivering)
        self._report()

    async def _deliver(self) -> None:
        while batch := await self.channel.take_all(_BATCH):
            self._dropped += sum(event.dropped for event in batch)
            if len(self._told) == 1:
                await self._told[0].tell(batch)
            else:
                await asyncio.gather(*(told.tell(batch) for told in self._told))

    def _report(self) -> None:
        for told in self._told:
            if missed := told.missed + self._dropped:
                _LOG.warning(
                    "The %s missed %d events of %s: it could not keep up.",
                    told.name,
                    missed,
                    self._run,
                    extra=self._log_fields,
                )


class _Told:
    """One who listens: a function that is called for each event of a batch, in one go."""

    def __init__(self, listener: Listener, *, log_fields: Mapping[str, Any]) -> None:
        self.name: str = listener.plugin
        self._log_fields = log_fields
        self.missed: int = 0
        """Events that it was not told of, because an earlier call took too long."""
        self._call: Callable[[Event], Any] = partial(_call, listener)
        self._left = 0
        """Of the batch."""
        self._has_failed = False
        deliver = self._deliver_async if listener.is_async else self._deliver
        self._listener = Listener(listener.plugin, deliver, ("event",), is_positional=True)

    async def tell(self, batch: Sequence[Event]) -> None:
        """Call it for each event; what it raises is logged once."""
        if why_not_now(self._listener) is not None:
            self.missed += len(batch)
            return
        self._left = len(batch)
        await tell(self._listener, "spark_run_event", {"event": batch})
        self.missed += self._left

    def _deliver(self, batch: Sequence[Event]) -> Coroutine[Any, Any, None] | None:
        """In a thread. What is left to await is awaited in the event loop."""
        unfinished = []
        for event in batch:
            try:
                returned = self._call(event)
                if isawaitable(returned):
                    unfinished.append(returned)
            except (Exception, SystemExit) as error:
                self._report(error)
            self._left -= 1
        return self._await_all(unfinished) if unfinished else None

    async def _deliver_async(self, batch: Sequence[Event]) -> None:
        for event in batch:
            await self._await_all([self._call(event)])
            self._left -= 1

    async def _await_all(self, unfinished: Sequence[Any]) -> None:
        for each in unfinished:
            try:
                await each
            except (Exception, SystemExit) as error:
                self._report(error)

    def _report(self, error: BaseException) -> None:
        if not self._has_failed:
            self._has_failed = True
            _LOG.error(
                "The %s raised when it was told of an event; the run continues. Further errors in this run are not logged.",
                self.name,
                exc_info=error,
                extra=self._log_fields,
            )


def _call(listener: Listener, event: Event) -> Any:
    return listener.call_with({"event": event})()
