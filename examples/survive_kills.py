"""Run an example once undisturbed and once killed again and again, and compare the results.

    python examples/survive_kills.py --kills 6
    python examples/survive_kills.py --kills 6 conversation.py --messages 400

Each kill is a SIGKILL at a random instant; each start is a new process, which goes on from the checkpoints that the one
before it left. If the first process is done before it is killed, all begins again in an empty store, with kills that come
twice as soon. Exit status 0: the results are equal, and there were kills.
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

EXAMPLES = Path(__file__).parent

Result = dict[str, object]


def main() -> int:
    options = parse_arguments()
    chance = random.Random(options.seed)
    store = options.store or "file://{directory}/checkpoints"
    example = [str(EXAMPLES / options.example), *options.arguments]
    with tempfile.TemporaryDirectory(prefix="spark-demo-") as temporary:
        print("An undisturbed run:")
        expected, usual = run_once(example, place_in(store, temporary, otherwise="memory://"), kill_after=None)
        assert expected is not None, "nobody killed it"
        print(f"  {usual:.1f} s")
        print(f"\nThe same, killed up to {options.kills} times (--seed {options.seed} repeats the instants):")
        delays = [chance.uniform(0.5, 1.5) * usual / (options.kills + 1) for _ in range(options.kills)]
        found, kills = run_until_done(example, place_in(store, temporary, otherwise=store), delays)
        while found == expected and kills == 0 and delays and "{directory}" in store:
            print("Once more, from the beginning, and killed sooner:")
            delays = [delay / 2 for delay in delays]
            found, kills = run_until_done(example, place_in(store, temporary, otherwise=store), delays)
    print(f"\nundisturbed: {expected}\nkilled:      {found}")
    return verdict(expected, found, kills)


def place_in(store: str, folder: str, *, otherwise: str) -> str:
    """The URL of an empty store within this folder; another, if the URL says itself where the store is."""
    return store.replace("{directory}", tempfile.mkdtemp(dir=folder)) if "{directory}" in store else otherwise


def run_until_done(example: list[str], store: str, delays: list[float]) -> tuple[Result, int]:
    """The result of the process that got to the end, and how many were killed before it."""
    for kills, delay in enumerate(delays):
        print(f"Process {kills + 1}, to be killed after {delay:.2f} s:")
        result, _ = run_once(example, store, kill_after=delay)
        if result is not None:
            print("  it was done before that")
            return result, kills
    print(f"Process {len(delays) + 1}, left alone:")
    result, _ = run_once(example, store, kill_after=None)
    assert result is not None, "nobody killed it"
    return result, len(delays)


def run_once(example: list[str], store: str, *, kill_after: float | None) -> tuple[Result | None, float]:
    """What the example printed last, or None when it was killed before it was done; and the seconds since its first line."""
    program, *arguments = example
    process = subprocess.Popen([sys.executable, program, store, *arguments], stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(kill_after or 0, process.kill)
    assert process.stdout is not None
    result, began = None, 0.0
    for line in process.stdout:
        if not began:
            began = time.monotonic()  # until now, it has only imported
            if kill_after is not None:
                timer.start()
        if line.startswith("{"):
            result = json.loads(line)
        else:
            print(line, end="", flush=True)
    status = process.wait()
    timer.cancel()
    if status == -signal.SIGKILL:
        print("  killed", flush=True)
        return None, 0.0
    if status != 0:
        sys.exit(f"the example failed with exit status {status}")
    return result, time.monotonic() - began


def verdict(expected: Result, found: Result, kills: int) -> int:
    """Say how it went; returns the exit status."""
    if found != expected:
        print("The results DIFFER.")
        return 1
    if kills == 0:
        print("Nothing was killed, so nothing is proven: give --store an empty store, or the example more to do.")
        return 1
    print(f"The results are equal, after {kills} {'kill' if kills == 1 else 'kills'}.")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=6, help="how often to kill it at most (default 6)")
    parser.add_argument(
        "--store",
        default="",
        help="URL of an empty checkpoint store; {directory} stands for a temporary folder (default: files in there)",
    )
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of the kills' instants"
    )
    parser.add_argument("example", nargs="?", default="index_sources.py", help="a file beside this one")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the example is given, beside the store")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
