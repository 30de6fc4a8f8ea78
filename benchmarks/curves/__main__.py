"""What a step costs against what exists: ``python -m benchmarks.curves``, drawn into ``docs/figures`` and printed as tables."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.curves import growth
from benchmarks.curves.svg import Chart, Line, Point
from benchmarks.effort import QUICK, Effort
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
        [growth.by_size(store) for store in growth.STORES],
    ),
    Curve(
        "keys",
        "A step and its checkpoint, against the number of keys",
        "keys of 100 bytes, one of which changes",
        "microseconds a step",
        (10, 100, 1_000, 10_000),
        [growth.by_keys(store) for store in growth.STORES],
    ),
    Curve(
        "history",
        "With a history kept whole, against its length",
        "checkpoints in the history",
        "microseconds",
        (10, 100, 1_000, 10_000),
        [growth.by_history("SQLite"), growth.by_history("files")],
    ),
    Curve(
        "graphs",
        "A step and its checkpoint, against the graphs that run at once",
        "graphs in one process and one store",
        "microseconds of all for each step",
        (1, 10, 100, 1_000),
        [growth.by_graphs(store) for store in growth.STORES],
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


def draw(curve: Curve, effort: Effort) -> Chart:
    """Measure all lines in turns, size by size."""
    points: dict[str, list[Point]] = defaultdict(list)
    for size in effort.up_to(*curve.sizes):
        figures: dict[str, list[float]] = defaultdict(list)
        for _ in range(effort.rounds):
            for measure in curve.measures:
                for name, found in _measured(measure, size).items():
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
    for points in zip(*(line.points for line in chart.lines), strict=True):
        cells = [f"{figure(point.median)} ({figure(point.low)} to {figure(point.high)})" for point in points]
        yield f"| {points[0].x:,} | {' | '.join(cells)} |"


def main() -> int:
    names = [curve.name for curve in CURVES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=__doc__)
    parser.add_argument("which", nargs="*", choices=[*names, []], metavar="curve", help=f"default: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=3, help="how often each point is measured")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes only, to see that it works")
    parser.add_argument("--into", type=Path, default=FIGURES, help="the folder of the drawings")
    options = parser.parse_args()
    effort = QUICK if options.quick else Effort(rounds=options.rounds)
    options.into.mkdir(parents=True, exist_ok=True)
    for curve in CURVES:
        if curve.name in (options.which or names):
            chart = draw(curve, effort)
            (options.into / f"{curve.name}.svg").write_text(chart.svg(), encoding="utf-8")
            print(f"\n{chart.title}; {chart.up}\n", *table(chart), sep="\n", flush=True)
    return 0


def _measured(measure: growth.Measure, size: int) -> growth.Figures:
    async def once(folder: Path) -> growth.Figures:
        return await measure(size, folder)

    with tempfile.TemporaryDirectory(prefix="spark-bench-", dir=disk()) as folder:
        return asyncio.run(once(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
