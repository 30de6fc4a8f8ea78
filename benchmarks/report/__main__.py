"""Measure what ``docs/performance.md`` shows, and write it there: ``python -m benchmarks.report``, or only some blocks.

Each block is written as soon as it is measured. The goals and the table of peers come from one run.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.contest.environments import install
from benchmarks.contest.participants import ROOT, ours_and_floor, peers
from benchmarks.contest.rows import ROWS
from benchmarks.contest.table import Results, heading, lines, run
from benchmarks.curves.charts import CURVES, FIGURES, draw
from benchmarks.curves.stores import Servers
from benchmarks.effort import QUICK, Effort
from benchmarks.machine import machine
from benchmarks.measure import HEADING
from benchmarks.report import goals, page

PAGE = ROOT / "docs" / "performance.md"
COSTS = ("engine", "checkpoints", "databases", "s3", "imports")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument(
        "blocks", nargs="*", choices=[*BLOCKS, []], metavar="block", help=f"default: {', '.join(BLOCKS)}"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often all take turns")
    parser.add_argument(
        "--longest", type=float, default=4, help="seconds after which the same work has no further round"
    )
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it works")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page whose blocks are written")
    parser.add_argument("--figures", type=Path, default=FIGURES, help="the folder of the drawings")
    options = parser.parse_args()
    effort = QUICK if options.quick else Effort(rounds=options.rounds, longest=options.longest)
    for name in options.blocks or BLOCKS:
        began = time.monotonic()
        for block, content in BLOCKS[name](effort, options.figures):
            page.rewrite(options.page, block, f"{machine()}, {effort.rounds} rounds in turns.\n\n{content}")
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return 0


Block = tuple[str, str]


def contest(effort: Effort, figures: Path) -> Iterator[Block]:
    """The goals, and the peers."""
    chosen = peers()
    install(chosen)
    present = [one for one in [*ours_and_floor(), *chosen] if one.is_installed]
    names = [one.name for one in present]
    results: dict[tuple[str, int], Results] = {}
    table, failures = [*heading(names)], [""]
    for row, size, found in run(present, effort, ROWS):
        results[row.name, size] = found
        table += lines(row, size, found, names)
        failures += [
            f"- {name} failed at “{row.said(row.work, size)}”: {each.failure}"
            for name, each in found.items()
            if each.failure
        ]
        print(*table[-1:], sep="\n", file=sys.stderr, flush=True)
    yield "goals", "\n".join(goals.table(results))
    yield "peers", "\n".join([*table, *failures])


def costs(effort: Effort, figures: Path) -> Iterator[Block]:
    """Ours beside the floor."""
    rows = [HEADING]
    for name in COSTS:
        with closing(importlib.import_module(f"benchmarks.costs.{name}").compare(effort)) as comparisons:
            rows += [comparison.row() for comparison in comparisons]
    yield "costs", "\n".join(rows)


def curves(effort: Effort, figures: Path) -> Iterator[Block]:
    """The drawings, which the page shows by their names."""
    with Servers() as servers:
        for curve in CURVES:
            (figures / f"{curve.name}.svg").write_text(draw(curve, servers, effort).svg(), encoding="utf-8")
    yield "curves", "\n\n".join(f"![{curve.title}](figures/{curve.name}.svg)" for curve in CURVES)


BLOCKS: dict[str, Callable[[Effort, Path], Iterator[Block]]] = {"contest": contest, "costs": costs, "curves": curves}


if __name__ == "__main__":
    sys.exit(main())
