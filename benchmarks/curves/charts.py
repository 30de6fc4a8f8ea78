"""The curves: which sizes are measured, and by what; as charts and as tables."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.curves import growing, growth
from benchmarks.curves.stores import EVERY, LOCAL, Place, Servers
from benchmarks.curves.svg import Chart, Line, Point
from benchmarks.effort import Effort
from benchmarks.machine import machine
from benchmarks.measure import figure
from benchmarks.workload import disk

FIGURES = Path(__file__).resolve().parents[2] / "docs" / "figures"


@dataclass(frozen=True, slots=True)
class Curve:
    """How one cost grows with one size."""

    name: str
    """Of its file."""
    title: str
    across: str
    up: str
    sizes: tuple[int, ...]
    measures: list[growth.Measure]
    """What finds the figures of one or more lines; the name of the floor's begins with ``floor``."""


CURVES = (
    Curve(
        "state-size",
        "A step and its checkpoint, against the size of the state",
        "bytes of state, in 100 keys, one of which changes",
        "microseconds a step",
        (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000),
        [growth.by_size(store) for store in LOCAL],
    ),
    Curve(
        "keys",
        "A step and its checkpoint, against the number of keys",
        "keys of 100 bytes, one of which changes",
        "microseconds a step",
        (10, 100, 1_000, 10_000),
        [growth.by_keys(store) for store in LOCAL],
    ),
    Curve(
        "history",
        "With a history kept whole, against its length",
        "checkpoints in the history",
        "microseconds",
        (10, 100, 1_000, 5_000),
        [growth.by_history("SQLite"), growth.by_history("files")],
    ),
    Curve(
        "list-length",
        "Adding 1 KB to a list, with a checkpoint, against its length",
        "messages of 1 KB in the list",
        "microseconds a step",
        (10, 100, 1_000, 10_000),
        [*(growing.by_list_length(store) for store in EVERY), growing.floor],
    ),
    Curve(
        "mapping-size",
        "Setting one item of a mapping, with a checkpoint, against its size",
        "items of 100 bytes in the mapping",
        "microseconds a step",
        (10, 100, 1_000, 10_000),
        [*(growing.by_mapping_size(store) for store in EVERY), growing.floor],
    ),
    Curve(
        "map-width",
        "A map and its join, each item with a checkpoint, against its width",
        "items of the map",
        "microseconds an item",
        (10, 100, 1_000, 10_000),
        [*(growing.by_map_width(store) for store in EVERY), growing.floor],
    ),
    Curve(
        "loading",
        "Loading the latest of a history that adds 1 KB to a list in each step",
        "checkpoints in the history, messages in the list",
        "microseconds",
        (10, 100, 1_000, 5_000),
        [*(growing.by_loading(store) for store in EVERY), growing.floor_of_loading],
    ),
    Curve(
        "reads",
        "What loading it reads: the record, and the chunks that it names",
        "checkpoints in the history, messages in the list",
        "records and chunks read",
        (10, 100, 1_000, 5_000),
        [growing.by_reads(store) for store in growing.KEEPING],
    ),
    Curve(
        "graphs",
        "A step and its checkpoint, against the graphs that run at once",
        "graphs in one process and one store",
        "microseconds of all for each step",
        (1, 10, 100, 1_000),
        [growth.by_graphs(store) for store in LOCAL],
    ),
    Curve(
        "branches",
        "A fan-out and a join, against the number of branches",
        "branches",
        "microseconds a branch",
        (1, 10, 100, 1_000),
        [growth.by_branches],
    ),
)


def draw(curve: Curve, servers: Servers, effort: Effort) -> Chart:
    """Measure all lines in turns, size by size."""
    points: dict[str, list[Point]] = defaultdict(list)
    for size in effort.up_to(*curve.sizes):
        figures: dict[str, list[float]] = defaultdict(list)
        for _ in effort.turns():
            for measure in curve.measures:
                for name, found in _measured(measure, size, servers).items():
                    figures[name].append(found)
        for name, values in figures.items():
            points[name].append(Point(size, statistics.median(values), min(values), max(values)))
    lines = [Line(name, found, is_floor=name.startswith("floor")) for name, found in points.items()]
    note = f"Points are medians, bands the spread, of {effort.rounds} rounds.\n{machine()}"
    return Chart(curve.title, curve.across, curve.up, lines, note)


def table(chart: Chart) -> Iterator[str]:
    """The chart's figures in Markdown."""
    yield f"| {chart.across} | {' | '.join(line.name for line in chart.lines)} |"
    yield "|---" * (len(chart.lines) + 1) + "|"
    for size in sorted({point.x for line in chart.lines for point in line.points}):
        cells = [_cell(next((point for point in line.points if point.x == size), None)) for line in chart.lines]
        yield f"| {size:,} | {' | '.join(cells)} |"


def _cell(point: Point | None) -> str:
    """A figure and its spread; some lines end before others."""
    return f"{figure(point.median)} ({figure(point.low)} to {figure(point.high)})" if point else "–"


def _measured(measure: growth.Measure, size: int, servers: Servers) -> growth.Figures:
    async def once(place: Place) -> growth.Figures:
        return await measure(size, place)

    with tempfile.TemporaryDirectory(prefix="spark-bench-", dir=disk()) as folder:
        return asyncio.run(once(Place(Path(folder), servers)))
