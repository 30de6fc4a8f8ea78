"""Measure ours, the floor and the peers in one run: ``python -m benchmarks.contest --rounds 3``, or only some rows:
``python -m benchmarks.contest sqlite large_sqlite``."""

from __future__ import annotations

import argparse
import sys

from benchmarks.contest.environments import install
from benchmarks.contest.participants import ours_and_floor, peers
from benchmarks.contest.rows import ROWS
from benchmarks.contest.table import markdown
from benchmarks.effort import QUICK, Effort
from benchmarks.machine import machine


def main() -> int:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contest", description=__doc__)
    parser.add_argument(
        "rows", nargs="*", choices=[*names, []], metavar="row", help=f"default: all of {', '.join(names)}"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often all take turns")
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it works")
    parser.add_argument("--peer", action="append", metavar="NAME", help="only this peer's module; may be given again")
    options = parser.parse_args()
    chosen = [peer for peer in peers() if options.peer is None or peer.module.rpartition(".")[2] in options.peer]
    install(chosen)
    effort = QUICK if options.quick else Effort(rounds=options.rounds)
    print(f"{machine()}, {effort.rounds} rounds in turns.\n")
    rows = [row for row in ROWS if row.name in (options.rows or names)]
    for line in markdown([*ours_and_floor(), *chosen], effort, rows):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
