"""Measure everything: ``python -m benchmarks --rounds 7``, or only some: ``python -m benchmarks engine``."""

from __future__ import annotations

import argparse
import importlib
import sys

from benchmarks.effort import QUICK, Effort
from benchmarks.machine import machine
from benchmarks.measure import HEADING

ALL = [
    "engine",
    "checkpoints",
    "databases",
    "s3",
    "memory",
    "processes",
    "arrays",
    "formats",
    "compression",
    "profile",
    "imports",
    "discovery",
]

ASKED_FOR = ["ray"]
"""Those that start a cluster, and run only if they are named."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("which", nargs="*", choices=[*ALL, *ASKED_FOR, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=7, help="how often ours and the floor take turns")
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it works")
    options = parser.parse_args()
    effort = QUICK if options.quick else Effort(rounds=options.rounds)
    print(f"{machine()}, {effort.rounds} rounds in turns.\n")
    print(HEADING)
    for name in options.which or ALL:
        for comparison in importlib.import_module(f"benchmarks.costs.{name}").compare(effort):
            print(comparison.row(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
