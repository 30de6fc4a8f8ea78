"""The one store that is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Final

from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointManager,
    HistoryEntry,
    RunInfo,
    Usage,
    open_backend,
)
from spark.hooks import redact
from spark_ui.access.checkup import Checkup
from spark_ui.access.fresh import Fresh
from spark_ui.access.histories import Histories
from spark_ui.access.kept import Kept
from spark_ui.access.latest_runs import latest_runs
from spark_ui.access.lines import LineReader, Lines
from spark_ui.access.sizes import Sizes

_LARGEST: Final = 10
_FORKED: Final = 20_000
"""Checkpoints of the histories that are kept for trees of forks; each takes about a kilobyte."""


def utc_now() -> datetime:
    """The present by the clock of this machine."""
    return datetime.now(UTC)


class Store:
    """A store, opened when it is first read, on the event loop of the server.

    :param store: the backend, which whoever made it closes; or its URL. Where there is no store, none is made.
    :param name: what it is called; by default its URL, or what its backend says of itself.
    :param clock: the present, in UTC.
    """

    def __init__(self, store: CheckpointBackend | str, *, name: str, clock: Callable[[], datetime]) -> None:
        self._given = store
        self.now = clock
        self.name = redact(name or (store if isinstance(store, str) else _name_of(store)))
        """What the store is called, without its secrets."""

    @cached_property
    def manager(self) -> CheckpointManager:
        """What reads it: every page goes through this."""
        return CheckpointManager(
            open_backend(self._given, create=False) if isinstance(self._given, str) else self._given
        )

    @cached_property
    def runs(self) -> Fresh[Sequence[RunInfo]]:
        """The latest run of every graph, in the order of graph ids."""
        return Fresh(partial(latest_runs, self.manager), name="listing runs")

    @cached_property
    def lines(self) -> Fresh[Lines]:
        """All checkpoints in short."""
        return Fresh(LineReader(self.manager).read, name="listing checkpoints")

    @cached_property
    def sizes(self) -> Sizes:
        """What every graph takes up."""
        return Sizes(self.manager)

    @cached_property
    def checkup(self) -> Checkup:
        """Whether everything can be read."""
        return Checkup(self.manager, self.largest, clock=self.now)

    async def largest(self) -> Sequence[RunInfo]:
        """The runs of the graphs that take up most, as far as their sizes are known, the largest one first."""
        runs = await self.runs.latest()
        return largest_of(runs, await self.sizes.of(runs))

    @cached_property
    def forked(self) -> Kept[Sequence[HistoryEntry]]:
        """The histories that trees of forks are drawn from, the latest ones kept."""
        return Kept(_FORKED, weigh=len)

    @cached_property
    def histories(self) -> Histories:
        """Histories and checkpoints of single graphs, the latest ones kept."""
        return Histories(self.manager)

    async def close(self) -> None:
        """Let go of it; nothing reads it afterwards."""
        for reader in ("runs", "lines", "sizes", "checkup"):
            if reader in self.__dict__:
                await getattr(self, reader).close()
        if isinstance(self._given, str) and "manager" in self.__dict__:
            await self.manager.backend.close()


def largest_of(runs: Iterable[RunInfo], sizes: Mapping[str, Usage]) -> Sequence[RunInfo]:
    """The runs of the graphs that take up most, as far as their sizes are known, the largest one first."""
    known = [run for run in runs if run.graph_id in sizes]
    return sorted(known, key=lambda run: (-sizes[run.graph_id].bytes, run.graph_id))[:_LARGEST]


def _name_of(backend: CheckpointBackend) -> str:
    said = repr(backend)
    return type(backend).__name__ if said.startswith("<") else said
