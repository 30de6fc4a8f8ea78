"""The history of a run over time, as a drawing: a row for each node, a mark for each checkpoint, and what the run waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias

from spark.graphs.checkpoint import HistoryEntry
from spark_ui.views.journal import Wait
from spark_ui.views.past import EDITED, ENDED, Line, Past, status_of
from spark_ui.views.values import counted, printable

WIDTH: Final = 1_000
"""Of the drawing; one unit is about one pixel."""
ROW: Final = 26
"""Height of a row."""
_MARGIN: Final = 6
"""Below the last row."""
_CLOSEST: Final = 5
"""Marks that are closer become one."""
_MOST_ROWS: Final = 40
"""Rows of one line; the nodes that are left share one."""
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Seconds between two lines of the grid."""
Scale: TypeAlias = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Mark:
    """One checkpoint, or several that are too close to tell apart; or the time between one and the next."""

    x: float
    width: float
    kind: str
    """``"step"``, ``"call"``, ``"wait"``, ``"failed"``, ``"interrupted"``, ``"completed"``, ``"other"`` or ``"many"``."""
    title: str
    sequence: int | None = None
    """Of its checkpoint, the last of several."""
    count: int = 1


class _Point(NamedTuple):
    """A mark before those that are too close are made one: thousands of them, so their titles are written when they are shown."""

    x: float
    width: float
    kind: str
    title: Callable[[], str]
    sequence: int | None


_ByLabel: TypeAlias = dict[str, list[_Point]]


@dataclass(frozen=True, slots=True)
class Row:
    """One node of one line."""

    label: str
    y: int
    spans: tuple[Mark, ...]
    """Times in which something may have been going on: from the checkpoint before to this one; waits."""
    marks: tuple[Mark, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Band:
    """A time in which the run stood still."""

    x: float
    width: float
    y: int
    height: int
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """The timeline between two moments, or between two steps."""

    rows: tuple[Row, ...]
    bands: tuple[Band, ...]
    grid: tuple[tuple[float, str], ...]
    first: float
    """Where it begins: seconds since 1970, or the place of a checkpoint."""
    last: float
    height: int
    count: int
    """Checkpoints in it."""
    headings: tuple[tuple[int, str], ...]
    """What stands above the rows of older lines, and where."""
    missing: int
    """Steps in it that have no checkpoint of their own."""
    period: str
    """From when to when it reaches; empty where the axis is not time."""


def drawing(
    past: Past,
    *,
    now: datetime,
    first: float | None = None,
    last: float | None = None,
    waits: Sequence[Wait] = (),
    by_step: bool = False,
) -> Drawing:
    """The history between two places of the axis.

    :param first: seconds since 1970; with ``by_step`` the place of a checkpoint, from 0. None for the beginning.
    :param waits: what the run waits for now.
    :param by_step: all checkpoints stand equally far apart, whatever time lies between them.
    """
    axis = _Axis(past, now, by_step=by_step)
    first, last = axis.limits(first, last)
    scale = _scale(first, last)
    rows, bands, headings, y = list[Row](), list[Band](), list[tuple[int, str]](), ROW
    for line in past.lines:
        own = _rows(past, line, axis, scale, waits if line.number == 0 else (), y)
        if not own:
            continue
        height = ROW * len(own)
        if line.number:
            headings.append((y, f"older branch, from #{line.start}" if line.start else "an earlier run"))
        bands += _bands(past, line, axis, scale, y=y, height=height)
        rows += own
        y += height + ROW
    inside = [place for place in range(len(past)) if first <= axis.of(place) <= last]
    return Drawing(
        tuple(rows),
        tuple(bands),
        tuple(axis.grid(first, last, scale)),
        first,
        last,
        y - ROW + _MARGIN if rows else y,
        len(inside),
        tuple(headings),
        _missing(past, inside),
        "" if by_step else _period(first, last),
    )


class _Axis:
    """Where on the axis each checkpoint is."""

    def __init__(self, past: Past, now: datetime, *, by_step: bool) -> None:
        self._times = [time.timestamp() for time in past.times]
        self._now = now.timestamp()
        self._is_over = bool(past.entries) and past.entries[-1].reason == "completed"
        self.by_step = by_step

    def of(self, place: int) -> float:
        return float(place) if self.by_step else self._times[place]

    @property
    def end(self) -> float:
        """Where it ends, unless somebody asks for more: the present, if it is not far from the last checkpoint."""
        if self.by_step:
            return float(len(self._times) - 1)
        last, first = max(self._times, default=self._now), min(self._times, default=self._now)
        return last if self._is_over else max(last, min(self._now, last + (last - first) * 0.25 + 1))

    @property
    def now(self) -> float:
        """Where what has not ended ends so far."""
        return self.end if self.by_step else max(self._now, *self._times)

    def of_moment(self, moment: datetime | None) -> float | None:
        return None if moment is None or self.by_step else moment.timestamp()

    def limits(self, first: float | None, last: float | None) -> tuple[float, float]:
        lowest = 0.0 if self.by_step else min(self._times, default=self._now)
        highest = self.end
        margin = max((highest - lowest) * 0.02, 0.5 if self.by_step else 0.05)
        least, most = lowest - margin, highest + margin
        start = least if first is None else min(max(first, least - (most - least)), most)
        end = most if last is None else max(min(last, most + (most - least)), least)
        return (start, end) if end - start > 1e-3 else (least, most)

    def grid(self, first: float, last: float, scale: Scale) -> list[tuple[float, str]]:
        span = last - first
        if self.by_step:
            step = max(1, round(span / 8))
            start = max(0, int(first // step) * step)
            return [(scale(at), f"#{at + 1:,}") for at in range(start, int(last) + 1, step) if at >= first]
        step = next((each for each in _STEPS if span / each <= 8), max(86400, round(span / 8 / 86400) * 86400))
        fine = span / 8 if span < 4 else 0.0
        places = [first + fine * number for number in range(1, 8)] if fine else _rounded(first, last, step)
        return [(scale(at), _clock(at, span)) for at in places]


def _rows(past: Past, line: Line, axis: _Axis, scale: Scale, waits: Sequence[Wait], y: int) -> list[Row]:
    points, spans = _points(past, line, axis, scale)
    for wait in waits:
        if (span := _waiting(wait, axis, scale)) is not None:
            spans.setdefault(wait.node, []).append(span)
            points.setdefault(wait.node, [])
    labels = [*points]
    if len(labels) > _MOST_ROWS:
        points, spans, labels = _folded(points, spans)
    return [
        Row(
            printable(label),
            y + ROW * number,
            tuple(_thinned(spans.get(label, []), is_span=True)),
            tuple(_thinned(points[label])),
            line.number,
        )
        for number, label in enumerate(labels)
    ]


def _points(past: Past, line: Line, axis: _Axis, scale: Scale) -> tuple[_ByLabel, _ByLabel]:
    """The checkpoints of a line, and the times of its steps, by the label of their row."""
    points, spans = dict[str, list[_Point]](), dict[str, list[_Point]]()
    for place in line.entries:
        entry, before = past.entries[place], past.before[place]
        label, at = _label(entry), scale(axis.of(place))
        points.setdefault(label, []).append(_Point(at, 0, _kind(entry), partial(_title, entry), entry.sequence))
        is_step = before is not None and (entry.iteration or 0) > (past.entries[before].iteration or 0)
        if before is not None and is_step and past.entries[before].reason not in ENDED:
            spans.setdefault(label, []).append(_span(past, place, before, scale(axis.of(before)), at))
    return points, spans


def _waiting(wait: Wait, axis: _Axis, scale: Scale) -> _Point | None:
    since, due = axis.of_moment(wait.since), axis.of_moment(wait.due) or axis.now
    if since is None:
        return None
    title = f"{wait.node} waits for {f'signal {wait.signal}' if wait.signal else 'a time'}"
    return _Point(scale(since), max(2.0, scale(max(since, due)) - scale(since)), "wait", lambda: title, None)


def _folded(points: _ByLabel, spans: _ByLabel) -> tuple[_ByLabel, _ByLabel, list[str]]:
    busiest = set(sorted(points, key=lambda label: -len(points[label]))[: _MOST_ROWS - 1])
    rest = f"{len(points) - len(busiest):,} other nodes"
    folded: list[_ByLabel] = []
    for each in (points, spans):
        found = dict[str, list[_Point]]()
        for label, own in each.items():
            found.setdefault(label if label in busiest else rest, []).extend(own)
        folded.append({label: sorted(own, key=attrgetter("x")) for label, own in found.items()})
    return folded[0], folded[1], [label for label in [*folded[0]] if label != rest] + [rest]


def _thinned(points: Sequence[_Point], *, is_span: bool = False) -> list[Mark]:
    """Those within the drawing as marks, and of those that are too close to tell apart, one for all."""
    groups: list[list[_Point]] = []
    end = 0.0
    for point in points:
        right = point.x + point.width
        if right < -5 or point.x > WIDTH + 5:
            continue
        is_close = bool(groups) and point.x - end < (2 if is_span else _CLOSEST)
        if is_close and (not is_span or point.width < _CLOSEST):
            groups[-1].append(point)
            end = max(end, right)
        else:
            groups.append([point])
            end = right
    return [_within(_mark(group)) for group in groups]


def _mark(group: Sequence[_Point]) -> Mark:
    first, last, count = group[0], group[-1], len(group)
    if count == 1:
        return Mark(first.x, first.width, first.kind, first.title(), first.sequence)
    kinds = {point.kind for point in group}
    kind = next((each for each in ("failed", "interrupted") if each in kinds), "many")
    end = max(point.x + point.width for point in group)
    title = f"{counted(count, 'checkpoint')}, the last: {last.title()}"
    return Mark(first.x, end - first.x, kind, title, last.sequence, count)


def _within(mark: Mark) -> Mark:
    left, right = max(-5.0, mark.x), min(WIDTH + 5.0, mark.x + mark.width)
    return replace(mark, x=round(left, 1), width=round(max(0.0, right - left), 1))


def _bands(past: Past, line: Line, axis: _Axis, scale: Scale, *, y: int, height: int) -> list[Band]:
    """The times in which the run stood still: after it had returned, until it was resumed."""
    ends = [(place, axis.of(after)) for place, after in pairwise(line.entries)]
    if line.number == 0 and line.entries:
        ends.append((line.entries[-1], axis.now))
    bands: list[Band] = []
    for place, end in ends:
        entry = past.entries[place]
        status = status_of(entry)
        if status not in ENDED or status == "completed":
            continue
        left, right = max(0.0, scale(axis.of(place))), min(float(WIDTH), scale(end))
        if right - left >= 1:
            title = f"{status} after #{entry.sequence}"
            bands.append(Band(round(left, 1), round(right - left, 1), y, height, status, title))
    return bands


def _span(past: Past, place: int, before: int, left: float, right: float) -> _Point:
    entry = past.entries[place]
    steps = (entry.iteration or 0) - (past.entries[before].iteration or 0)
    kind = "step" if steps == 1 else "many"
    title = partial(_title_of_span, past, place, before, steps)
    return _Point(left, max(0.0, right - left), kind, title, entry.sequence)


def _title_of_span(past: Past, place: int, before: int, steps: int) -> str:
    entry, earlier = past.entries[place], past.entries[before]
    seconds = (past.times[place] - past.times[before]).total_seconds()
    what = f"step {entry.iteration}" if steps == 1 else f"{counted(steps, 'step')}, the last one here"
    return f"{what}: within {seconds:.3g} s, from checkpoint #{earlier.sequence} to #{entry.sequence}"


def _label(entry: HistoryEntry) -> str:
    if entry.reason == "call":
        return "durable calls"
    if entry.reason in ENDED and entry.reason != "failed":
        return "the run"
    return entry.node or ("damaged" if entry.info is None else "by hand" if entry.manual else "start")


def _kind(entry: HistoryEntry) -> str:
    reason = entry.reason or "failed"  # a damaged one has none
    known = {
        "call": "call",
        "failed": "failed",
        "interrupted": "interrupted",
        "completed": "completed",
        "waiting": "wait",
    }
    return known.get(reason, "other" if entry.manual or reason in ENDED or reason in EDITED else "step")


def _title(entry: HistoryEntry) -> str:
    if entry.timestamp is None:
        return f"#{entry.sequence} can't be read"
    made = entry.timestamp.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    error = f"; {printable(entry.error)}" if entry.error else ""
    node = printable(entry.node or "start")
    return f"#{entry.sequence}, step {entry.iteration or 0}, {node}: {entry.reason}, {made} UTC{error}"


def _missing(past: Past, inside: Sequence[int]) -> int:
    """Steps between these checkpoints, and those before them, that have none of their own."""
    missing = 0
    for place in inside:
        before = past.before[place]
        if before is not None:
            missing += max(0, (past.entries[place].iteration or 0) - (past.entries[before].iteration or 0) - 1)
    return missing


def _scale(first: float, last: float) -> Scale:
    return lambda at: (at - first) / (last - first) * WIDTH


def _rounded(first: float, last: float, step: float) -> list[float]:
    start = (first // step + 1) * step
    return [start + step * number for number in range(int((last - start) // step) + 1)] if start <= last else []


def _period(first: float, last: float) -> str:
    """``2026-03-12 10:21:29 to 10:24:03 UTC``."""
    begin, end = (datetime.fromtimestamp(at, UTC) for at in (first, last))
    pattern = "%H:%M:%S" if begin.date() == end.date() else "%Y-%m-%d %H:%M:%S"
    return f"{begin:%Y-%m-%d %H:%M:%S} to {end.strftime(pattern)} UTC"


def _clock(at: float, span: float) -> str:
    pattern = "%H:%M:%S.%f" if span < 4 else "%H:%M:%S" if span < 3600 else "%H:%M" if span < 86400 * 2 else "%Y-%m-%d"
    moment = datetime.fromtimestamp(at, UTC)
    if pattern == "%H:%M" and (moment.hour, moment.minute) == (0, 0):
        pattern = "%Y-%m-%d"
    text = moment.strftime(pattern)
    return text[:-3] if span < 4 else text
