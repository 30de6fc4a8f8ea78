"""The buffer between a run and one of those who watch it: bounded, with a filter."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, TypedDict

from spark.errors import GraphDefinitionError
from spark.graphs.events.kinds import KINDS, Event, StepEvent
from spark.wording import did_you_mean

Overflow: TypeAlias = Literal["block", "drop_oldest"]
"""What happens when a buffer is full: the run waits for the watcher, or the oldest events are dropped."""
Commits: TypeAlias = Literal["durable", "at_once"]
"""When the events of commits are seen: once a checkpoint that holds the commit is durable, or at once."""
Only: TypeAlias = type[Event] | str | Collection[type[Event] | str]
"""Which events a watcher gets: by class, or by kind; all where it is empty."""


class Watching(TypedDict, total=False):
    """The options of ``graph.stream`` and ``graph.watch``."""

    buffer: int
    """How many events may wait to be read, 1,000 by default."""
    overflow: Overflow
    """What happens when there are more. ``"block"``, the default of ``stream``: the run waits until some are taken.
    ``"drop_oldest"``, the default of ``watch``: the oldest are dropped, and ``dropped`` of the next event says how many."""
    only: Only
    """Which events are given: by classes of ``spark.graphs.events``, such as ``(StepCommitted, Emitted)``, or by kinds, such as
    ``"emitted"``; all by default."""
    nodes: str | Collection[str]
    """The keys of the nodes whose steps are given; events that belong to no step are given in any case."""
    commits: Commits
    """``"durable"``, the default: where checkpoints are made with the durability ``"sync"``, what a commit did is not seen before
    it is durable. ``"at_once"``: as soon as it is committed."""


BUFFER: Final = 1_000
"""Events that a buffer holds, unless it is told otherwise."""


class Channel:
    """Events that one watcher has not taken yet. All but ``close`` belongs to the event loop of the run.

    :param buffer: how many there may be.
    :param overflow: what happens to further ones.
    :param only: which events it is for.
    :param nodes: the keys of the nodes whose steps it is for; events that belong to no step come in any case.
    :param commits: when the events of commits come.
    :param known: the keys of all nodes of the graph.
    :raises GraphDefinitionError: an argument can't be used.
    """

    def __init__(
        self,
        *,
        buffer: int = BUFFER,
        overflow: Overflow = "block",
        only: Only = (),
        nodes: str | Collection[str] = (),
        commits: Commits = "durable",
        known: Collection[str] = (),
    ) -> None:
        self._limit = _checked_buffer(buffer)
        self.blocks: bool = _one_of(("block", "drop_oldest"), "overflow", overflow) == "block"
        """Whether the run waits while it is full."""
        self.is_durable: bool = _one_of(("durable", "at_once"), "commits", commits) == "durable"
        """Whether the events of commits come once they are durable."""
        self._only = _checked_kinds(only)
        self._nodes = _checked_nodes(nodes, known)
        self._events: deque[Event] = deque()
        self._most = self._limit
        """How many it may hold now: what becomes durable at the same time comes at the same time."""
        self._dropped = 0
        """How many were dropped before the oldest."""
        self._refused = 0
        """How many were dropped after the newest."""
        self.is_over: bool = False
        """The run has ended: no more events will come."""
        self.is_closed: bool = False
        """Nobody takes events any more."""
        self._taker: asyncio.Future[None] | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()
        """Those who wait for room."""

    def __len__(self) -> int:
        return len(self._events)

    @property
    def is_done(self) -> bool:
        """Whether it needs no further events."""
        return self.is_over or self.is_closed

    @property
    def is_full(self) -> bool:
        """Whether a run has to wait for its watcher."""
        return self.blocks and len(self._events) >= self._limit and not self.is_closed

    def wants_kind(self, kind: type[Event]) -> bool:
        """Whether it is for events of this kind."""
        return not self.is_done and (not self._only or issubclass(kind, self._only))

    def wants(self, event: Event) -> bool:
        """Whether it is for this event."""
        if not self.wants_kind(type(event)):
            return False
        return not self._nodes or not isinstance(event, StepEvent) or event.node in self._nodes

    def put(self, event: Event, *, ignored: int = 0) -> None:
        """Add an event, if it is wanted. A full buffer drops its oldest, or lets the run wait afterwards.

        :param ignored: how often whoever sends it should have waited before, and did not. It is dropped if that was too often.
        """
        if not self.wants(event):
            return
        events = self._events
        if ignored >= self._limit and self.is_full:
            self._refused += 1
            return
        if self._refused:
            event, self._refused = event.after_dropped(self._refused), 0
        events.append(event)
        if not self.blocks and len(events) > self._most:
            self._dropped += 1 + events.popleft().dropped
        self._wake()

    def put_all(self, batch: Sequence[Event]) -> None:
        """Add events that come at the same time. They count as held before, so a watcher has the time to take them."""
        self._most = max(self._most, self._limit + len(batch))
        for event in batch:
            self.put(event)

    def note_dropped(self) -> None:
        """An event that would have come was dropped before it came here."""
        self._refused += 1

    async def take(self) -> Event | None:
        """The oldest event, once there is one; None when the run has ended, and all were taken."""
        while not self._events:
            if self.is_done:
                return None
            await self._until_filled()
        event = self._events.popleft()
        if self._dropped:
            event, self._dropped = event.after_dropped(self._dropped), 0
        self._note_taken()
        return event

    async def take_all(self, most: int) -> list[Event]:
        """So many of the oldest events, once there are any; none when the run has ended, and all were taken."""
        first = await self.take()
        batch = [first] if first is not None else []
        while self._events and len(batch) < most:
            batch.append(self._events.popleft())
        self._note_taken()
        return batch

    async def until_room(self) -> None:
        """Wait until the watcher has caught up. Of thousands that wait, one continues at a time, while there is room."""
        while self.is_full:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                asyncio.get_running_loop().call_soon(self._let_next_go_on)  # once this one has used the room, or not

    def end(self) -> None:
        """No more events will come."""
        self.is_over = True
        self._wake()

    def close(self) -> None:
        """Nobody takes events any more: forget them, and hold up nobody."""
        self.is_closed = True
        self._events.clear()
        self._let_next_go_on()
        self._wake()

    def _note_taken(self) -> None:
        if len(self._events) < self._limit:
            self._most = self._limit
            self._let_next_go_on()

    def _let_next_go_on(self) -> None:
        while self._waiters and not self.is_full:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _until_filled(self) -> None:
        self._taker = asyncio.get_running_loop().create_future()
        try:
            await self._taker
        finally:
            self._taker = None

    def _wake(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)


def channel_for(watching: Mapping[str, Any], *, known: Collection[str]) -> Channel:
    """The channel of a watcher who gave these options.

    :param known: the keys of all nodes of the graph.
    :raises TypeError: there is no such option.
    :raises GraphDefinitionError: one of them can't be used.
    """
    options = Watching.__annotations__
    for name in watching:
        if name not in options:
            raise TypeError(
                f"{name}=: there is no such option.{did_you_mean(name, options)} To choose events, give "
                f"{', '.join(options)}; a stream takes the arguments of a run as well."
            )
    return Channel(**watching, known=known)


def _checked_buffer(buffer: Any) -> int:
    if isinstance(buffer, int) and not isinstance(buffer, bool) and buffer >= 1:
        return buffer
    raise GraphDefinitionError(f"buffer={buffer!r}: give a whole number of events, of at least 1.")


def _one_of(values: Sequence[str], name: str, given: Any) -> str:
    if given in values:
        return str(given)
    raise GraphDefinitionError(f"{name}={given!r}: give {' or '.join(map(repr, values))}.")


def _checked_nodes(nodes: Any, known: Collection[str]) -> frozenset[str]:
    wanted = frozenset(_each_of(nodes))
    if not all(isinstance(each, str) for each in wanted):
        raise GraphDefinitionError(f"nodes={nodes!r}: give the names of nodes, as in nodes=['answer'].")
    for node in sorted(wanted - frozenset(known)):
        raise GraphDefinitionError(
            f"nodes={node!r}: the graph has no such node.{did_you_mean(node, known)} Its nodes are "
            f"{', '.join(map(repr, sorted(known)))}."
        )
    return wanted


def _each_of(given: Any) -> Iterable[Any]:
    """What was given by itself, or in a collection."""
    return given if isinstance(given, Iterable) and not isinstance(given, str | type) else [given]


def _checked_kinds(only: Any) -> tuple[type[Event], ...]:
    """The classes that were given, or those of the kinds."""
    return tuple(_checked_kind(entry) for entry in _each_of(only))


def _checked_kind(entry: Any) -> type[Event]:
    kind = KINDS.get(entry) if isinstance(entry, str) else entry
    if isinstance(kind, type) and issubclass(kind, Event):
        return kind
    raise GraphDefinitionError(
        f"only={entry!r}: give classes of spark.graphs.events, such as StepCommitted, or kinds: {', '.join(map(repr, KINDS))}."
    )
