"""Who watches a run from its beginning: watchers, handlers, plugins, and the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from spark.graphs.events.channel import Channel
from spark.graphs.events.observing import Observing
from spark.graphs.events.surroundings import Surroundings
from spark.graphs.events.watch import Resumed, RunWatch

if TYPE_CHECKING:
    from spark.graphs.checkpoint.observers.observers import Observers
    from spark.graphs.clock import Clock
    from spark.graphs.message import Message


class Pending(Protocol):
    """A run that is resumed."""

    @property
    def checkpoint(self) -> Resumed: ...

    @property
    def carrier(self) -> dict[str, str]: ...

    @property
    def run_id(self) -> str | None: ...

    @property
    def iteration(self) -> int: ...


class Views:
    """Those who watch the next run of a graph.

    :param channels: those of watchers; they are removed from there when the run begins.
    :param observers: handlers and plugins; None if the graph has none.
    """

    def __init__(self, channels: list[Channel], observers: Observers | None, *, graph_id: str) -> None:
        self._channels = channels
        self._graph_id = graph_id
        self._events = observers.listening("spark_run_event", graph_id) if observers is not None else []
        self._around = observers.listening("around", graph_id) if observers is not None else []
        is_logged = logging.getLogger("spark.graphs").isEnabledFor(logging.DEBUG)
        self.see_steps: bool = bool(channels or self._events or self._around or is_logged)
        """Whether anybody wants to know of steps, and not only how the run begins and ends."""

    def begin(self, watch: RunWatch, pending: Pending | None) -> None:
        """The run begins.

        :param pending: what is resumed, if it is.
        """
        watch.observe(
            Observing(self._events, graph_id=self._graph_id, run_id=watch.run_id) if self._events else None,
            Surroundings(self._around) if self._around else None,
        )
        checkpoint, carrier = (pending.checkpoint, pending.carrier) if pending is not None else (None, {})
        watch.begin(self._channels, checkpoint, carrier=carrier)

    async def show_result(self, pending: Pending, message: Message, *, clock: Clock) -> None:
        """The run was complete, and gives its result."""
        watch = RunWatch(
            graph_id=self._graph_id, run_id=pending.run_id or "", standing=pending, clock=clock, holds=False
        )
        self.begin(watch, pending)
        watch.returned(message)
        await watch.close()
