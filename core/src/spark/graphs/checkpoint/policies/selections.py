"""Which few of a long history are kept? Rules that can't judge a checkpoint without the others."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from heapq import nlargest

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.policies.metrics import Mode, checked_metric, checked_mode, number
from spark.graphs.checkpoint.policies.retention import Retention
from spark.graphs.checkpoint.records.info import CheckpointInfo


class KeepEvery(Retention):
    """Keeps every ``count``-th checkpoint of a graph: of sequences 1 to ``count`` the last one that there is, and so on."""

    name = "keep_every"

    def __init__(self, count: int) -> None:
        self.count: int = _checked_count(count, f"KeepEvery({count!r})")

    def select(self, checkpoints: Sequence[CheckpointInfo], *, now: datetime) -> list[CheckpointInfo]:
        return _last_of_each((each, (each.sequence - 1) // self.count) for each in checkpoints)

    def __repr__(self) -> str:
        return f"KeepEvery({self.count})"


class KeepDaily(Retention):
    """Keeps the last checkpoint of each day.

    :param days: only of this many days, the latest that have a checkpoint; None: of all.
    :param timezone: whose days, as ``"Europe/Berlin"``.
    """

    name = "keep_daily"

    def __init__(self, days: int | None = None, *, timezone: str = "UTC") -> None:
        self.days: int | None = None if days is None else _checked_count(days, f"KeepDaily({days!r})")
        self.timezone = timezone
        self._zone = _zone(timezone)

    def select(self, checkpoints: Sequence[CheckpointInfo], *, now: datetime) -> list[CheckpointInfo]:
        dated = [(each, _day(each.timestamp, self._zone)) for each in checkpoints]
        if self.days is not None:
            latest = set(sorted({day for _, day in dated}, reverse=True)[: self.days])
            dated = [(each, day) for each, day in dated if day in latest]
        return _last_of_each(dated)

    def __repr__(self) -> str:
        return f"KeepDaily({self.days}, timezone={self.timezone!r})"


class KeepBest(Retention):
    """Keeps the ``count`` best checkpoints of a graph by a metric; of equally good ones the earlier.

    During a run, the state may still hold a value that was measured long before: what was measured is the earlier one.

    :param metric: a key of the graph's state, ``"loss"``, or the path into a mapping there, ``"eval.loss"``. The run records it
        with each checkpoint, so that nothing has to be loaded to compare them.
    :param mode: ``"max"`` where larger is better, ``"min"`` where smaller is.
    :param keep_without: whether checkpoints are kept that have no such metric.
    """

    name = "keep_best"
    reads_metadata = True

    def __init__(self, count: int, metric: str, mode: Mode = "max", *, keep_without: bool = True) -> None:
        self.count: int = _checked_count(count, f"KeepBest({count!r}, …)")
        self.metric: str = checked_metric(metric, place="KeepBest(metric=…)")
        self.mode: Mode = checked_mode(mode, place="KeepBest(mode=…)")
        if not isinstance(keep_without, bool):
            raise GraphDefinitionError(f"KeepBest(keep_without={keep_without!r}): give True or False.")
        self.keep_without = keep_without

    def select(self, checkpoints: Sequence[CheckpointInfo], *, now: datetime) -> list[CheckpointInfo]:
        values = [(each.sequence, number(each.metadata.get(self.metric))) for each in checkpoints]
        sign = -1 if self.mode == "max" else 1
        measured = [(sign * value, sequence) for sequence, value in values if value is not None]
        # Mostly there is one too many. To look for that one takes less than to put all in order.
        given_up = {sequence for _, sequence in nlargest(len(measured) - self.count, measured)}
        if not self.keep_without:
            given_up |= {sequence for sequence, value in values if value is None}
        return [each for each in checkpoints if each.sequence not in given_up]

    def metrics(self) -> frozenset[str]:
        return frozenset({self.metric})

    def __repr__(self) -> str:
        without = "" if self.keep_without else ", keep_without=False"
        return f"KeepBest({self.count}, {self.metric!r}, mode={self.mode!r}{without})"


def _last_of_each(grouped: Iterable[tuple[CheckpointInfo, Hashable]]) -> list[CheckpointInfo]:
    """Of each group the last one, by sequence."""
    last = {group: checkpoint for checkpoint, group in grouped}
    return sorted(last.values(), key=lambda checkpoint: checkpoint.sequence)


def _day(moment: datetime, zone: tzinfo) -> int:
    try:
        return moment.astimezone(zone).toordinal()
    except OverflowError:  # at the ends of the calendar
        return moment.toordinal()


def _zone(name: str) -> tzinfo:
    if name == "UTC":  # known without a database of time zones
        return UTC
    from zoneinfo import ZoneInfo  # not needed by others

    try:
        return ZoneInfo(name)
    except Exception as error:  # whatever such a name leads to in a file system
        raise GraphDefinitionError(
            f"KeepDaily(timezone={name!r}): there is no such time zone here. Give a name like 'Europe/Berlin', or 'UTC'. Where "
            "the system has no database of time zones, as on Windows: pip install tzdata."
        ) from error


def _checked_count(count: int, place: str) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise GraphDefinitionError(f"{place}: give a whole number of at least 1.")
    return count
