"""Events on their way to those who watch a run: each gets those that it wants, when they may be seen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from spark.graphs.events.channel import Channel
from spark.graphs.events.held import HeldEvents
from spark.graphs.events.kinds import Event
from spark.graphs.events.log import log


class Standing(Protocol):
    """Where a run stands."""

    @property
    def iteration(self) -> int: ...


class Delivery:
    """Makes the events of one run, and puts them into the channels of those who watch it.

    :param standing: where the run stands.
    :param now: the present, in UTC.
    :param holds: whether commits are seen only once they are durable, by those who want that.
    :param behind: called when a watcher holds up the run.
    """

    def __init__(
        self,
        *,
        graph_id: str,
        run_id: str,
        standing: Standing,
        now: Callable[[], datetime],
        holds: bool,
        behind: Callable[[], object],
    ) -> None:
        self.graph_id: str = graph_id
        self.run_id: str = run_id
        self.standing: Standing = standing
        self._now = now
        self._holds = holds
        self._behind = behind
        self._channels: list[Channel] = []
        self.first: Event | None = None
        """The event with which the run began."""
        self.held: HeldEvents = HeldEvents()
        """Those of commits that are not durable yet."""
        self._logs = logging.getLogger("spark.graphs").isEnabledFor(logging.INFO)
        self.is_over: bool = False
        """The run has ended."""

    def add(self, channel: Channel) -> None:
        """One more watches from now on. The first thing that it sees is how the run began."""
        self._channels = [each for each in self._channels if not each.is_done]
        self._channels.append(channel)
        if self.first is not None:
            channel.put(self.first)

    def begin_with(self, kind: type[Event], **values: Any) -> None:
        """The run begins, with this event."""
        self.first = self._event(kind, values)
        self._give(self.first, self._channels)

    def tell(self, kind: type[Event], *, ignored: int = 0, **values: Any) -> None:
        """Something has happened that is seen at once.

        :param ignored: how often whoever sends it should have waited for the watchers before, and did not.
        """
        if self._is_wanted(kind):
            self._give(self._event(kind, values), self._channels, ignored=ignored)

    async def until_room(self) -> None:
        """Wait until no watcher holds up the run."""
        for channel in self._channels:
            if channel.is_full:
                await channel.until_room()

    @property
    def is_full(self) -> bool:
        """Whether one holds it up."""
        return any(channel.is_full for channel in self._channels)

    def commit(self, kind: type[Event], **values: Any) -> None:
        """Something has been committed: it is seen once it is durable, by those who want that."""
        if not self._is_wanted(kind):
            return
        event = self._event(kind, values)
        if not self._holds:
            self._give(event, self._channels)
            return
        self._give(event, [each for each in self._channels if not each.is_durable])
        if not any(each.is_durable and each.wants(event) for each in self._channels):
            return
        if (dropped := self.held.add(event)) is not None:
            for channel in self._channels:
                if channel.is_durable and channel.wants(dropped):
                    channel.note_dropped()

    def _is_wanted(self, kind: type[Event]) -> bool:
        """Whether anybody wants events of this kind: it would be made in vain."""
        return self._logs or any(channel.wants_kind(kind) for channel in self._channels)

    def _event(self, kind: type[Event], values: Mapping[str, Any]) -> Event:
        event = kind(
            time=self._now(),
            graph_id=self.graph_id,
            run_id=self.run_id,
            iteration=self.standing.iteration,
            **values,
        )
        if self._logs:
            log(event)
        return event

    def _give(self, event: Event, channels: Iterable[Channel], *, ignored: int = 0) -> None:
        for channel in channels:
            channel.put(event, ignored=ignored)
            if channel.is_full:
                self._behind()

    def release(self, mark: int) -> None:
        """What was committed before this place is durable."""
        events = self.held.release(mark)
        for channel in self._channels if events else ():
            if channel.is_durable:
                channel.put_all(events)
                if channel.is_full:
                    self._behind()

    def end(self, kind: type[Event], **values: Any) -> None:
        """Nothing happens any more but this. Commits that are not durable by now are never seen."""
        self.tell(kind, **values)
        self.is_over = True
        self.held.clear()
        for channel in self._channels:
            channel.end()
