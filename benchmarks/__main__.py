"""Measure everything: ``python -m benchmarks --rounds 7``, or only some: ``python -m benchmarks engine``."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys

from benchmarks.measure import HEADING

ALL = ["engine", "checkpoints", "databases", "s3", "imports"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", nargs="*", choices=[*ALL, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=7, help="how often ours and the floor take turns")
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores, {options.rounds} rounds in turns.\n"
    )
    print(HEADING)
    for name in options.which or ALL:
        for comparison in importlib.import_module(f"benchmarks.{name}").compare(options.rounds):
            print(comparison.row(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
