"""What a step costs against what exists: ``python -m benchmarks.curves``, drawn into ``docs/figures`` and printed as tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.curves.charts import CURVES, FIGURES, draw, table
from benchmarks.curves.stores import Servers
from benchmarks.effort import QUICK, Effort


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
    with Servers() as servers:
        for curve in CURVES:
            if curve.name in (options.which or names):
                chart = draw(curve, servers, effort)
                (options.into / f"{curve.name}.svg").write_text(chart.svg(), encoding="utf-8")
                print(f"\n{chart.title}; {chart.up}\n", *table(chart), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
