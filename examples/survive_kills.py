"""Run ``index_sources.py`` once undisturbed and once killed again and again, and compare the results.

    python examples/survive_kills.py --kills 6 --store file:///tmp/index

Each kill is a SIGKILL at a random instant; each start is a new process. Exit status 0: the results are equal.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

EXAMPLE = Path(__file__).with_name("index_sources.py")


def main() -> int:
    options = parse_arguments()
    chance = random.Random(options.seed)
    print(f"An undisturbed run, in memory (seed of the kills: {options.seed}):")
    began = time.monotonic()
    expected = run_once("memory://", kill_after=None)
    usual = time.monotonic() - began
    assert expected is not None, "nobody killed it"
    print(f"  {expected['identifiers']} identifiers in {expected['files']} files, {usual:.1f} s\n")
    with tempfile.TemporaryDirectory(prefix="spark-demo-") as folder:
        found = run_until_done(options.store or f"file://{folder}/checkpoints", options.kills, usual, chance)
    print(f"\nundisturbed: {expected}\nkilled:      {found}")
    if found != expected:
        print("The results DIFFER.")
        return 1
    print(f"The results are equal, after {options.kills} kills.")
    return 0


def run_until_done(store: str, kills: int, usual: float, chance: random.Random) -> dict[str, object]:
    for number in range(1, kills + 1):
        print(f"Process {number}, to be killed:")
        result = run_once(store, kill_after=chance.uniform(0.5, 1.5) * usual / (kills + 1))
        if result is not None:
            return result
    print("The last process, left alone:")
    result = run_once(store, kill_after=None)
    assert result is not None, "nobody killed it"
    return result


def run_once(store: str, *, kill_after: float | None) -> dict[str, object] | None:
    """What the example printed last, or None when it was killed before it got there."""
    process = subprocess.Popen([sys.executable, EXAMPLE, store], stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(kill_after, process.kill) if kill_after is not None else None
    if timer:
        timer.start()
    assert process.stdout is not None
    result = None
    for line in process.stdout:
        if line.startswith("{"):
            result = json.loads(line)
        else:
            print(line, end="", flush=True)
    status = process.wait()
    if timer:
        timer.cancel()
    if status == -signal.SIGKILL:
        print(f"  killed after {kill_after:.1f} s")
        return None
    if status != 0:
        sys.exit(f"the example failed with exit status {status}")
    return result


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=6, help="how often to kill it (default 6)")
    parser.add_argument(
        "--store", default="", help="URL of an empty checkpoint store (default: files in a temporary folder)"
    )
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of the kills' instants"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
