"""All checkpoints of a store in short: what continues what, which graph was forked from which, and how the store grew."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from spark.graphs.checkpoint import CheckpointInfo, CheckpointManager
from spark.graphs.checkpoint.storage import CheckpointQuery, parse_automatic_id

_CHECKED: Final = 300.0
"""Seconds for which only what is new is read; then all of it, because checkpoints may have been deleted."""
_SKEW: Final = timedelta(minutes=1)
"""By so much the clocks of writers may differ; what is later by more is found when all is read."""


@dataclass(slots=True)
class Line:
    """The checkpoints of one graph."""

    newest: datetime
    parents: dict[int, int | None] = field(default_factory=dict)
    """Of each checkpoint that a run made: its sequence, and that of the one it continues."""
    origin: str | None = None
    """The id of the checkpoint that its first one was forked from."""

    @property
    def has_branches(self) -> bool:
        """Whether some checkpoint continues another one than the one before it."""
        before: int | None = None
        for sequence in sorted(self.parents):
            parent = self.parents[sequence]
            if before is not None and parent is not None and parent < before:
                return True
            before = sequence
        return False


@dataclass(slots=True)
class Lines:
    """The checkpoints of all graphs."""

    of: dict[str, Line] = field(default_factory=dict)
    by_hand: dict[str, str] = field(default_factory=dict)
    """Of each checkpoint that was made by hand: its id, and its graph id."""
    days: Counter[date] = field(default_factory=Counter)
    """How many bytes of checkpoints, without large values, were stored on which day, in UTC, and are still there."""
    largest: list[CheckpointInfo] = field(default_factory=list)
    """The largest checkpoints, without their large values, the largest one first."""
    checkpoints: int = 0
    newest: datetime | None = None
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def add(self, infos: Iterable[CheckpointInfo]) -> None:
        """Take more checkpoints in; those that are known already change nothing."""
        for info in infos:
            key = info.graph_id, info.sequence
            if key not in self._seen:
                self._seen.add(key)
                self._add(info)
                self.largest.append(info)
        self.largest = sorted(self.largest, key=lambda info: -info.size)[:_LARGEST]

    def forks(self) -> Mapping[str, list[str]]:
        """Of each graph id: those that were forked from it."""
        found: dict[str, list[str]] = defaultdict(list)
        for id in self.of:
            if (origin := self.origin_of(id)) is not None:
                found[origin[0]].append(id)
        return found

    def origin_of(self, graph_id: str) -> tuple[str, int | None] | None:
        """The graph id and the sequence that a graph was forked from; the latter is None where that was saved by hand."""
        line = self.of.get(graph_id)
        if line is None or line.origin is None:
            return None
        automatic = parse_automatic_id(line.origin)
        if automatic is not None:
            return automatic
        saved = self.by_hand.get(line.origin)
        return (saved, None) if saved is not None else None

    def _add(self, info: CheckpointInfo) -> None:
        line = self.of.setdefault(info.graph_id, Line(info.timestamp))
        line.newest = max(line.newest, info.timestamp)
        if info.manual:
            self.by_hand[info.checkpoint_id] = info.graph_id
        else:
            line.parents[info.sequence] = info.parent
        origin = info.metadata.get("origin")
        if isinstance(origin, str):
            line.origin = origin
        self.days[info.timestamp.date()] += info.size
        self.checkpoints += 1
        self.newest = info.timestamp if self.newest is None else max(self.newest, info.timestamp)


_LARGEST: Final = 10


class LineReader:
    """Reads the lines of a store: all at first, and then what is new."""

    def __init__(self, manager: CheckpointManager) -> None:
        self._manager = manager
        self._lines = Lines()
        self._checked: float | None = None

    async def read(self) -> Lines:
        """The lines as they are now.

        :raises SparkError: the store can't be read.
        """
        now = time.monotonic()
        if self._checked is None or now - self._checked > _CHECKED:
            lines, after = Lines(), None
            self._checked = now
        else:
            lines = self._lines
            after = lines.newest - _SKEW if lines.newest is not None else None
        query = CheckpointQuery(after=after, with_metadata=True)
        lines.add(
            (await self._manager.listing(query)).infos
        )  # what is damaged has a place on the pages, not in the log
        self._lines = lines
        return lines
