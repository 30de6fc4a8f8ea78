"""Run random programs that wait and try again, disturb their processes, and compare what comes out with the model.

    python -m tests.waiting.prove --programs 2000 --real 200 --seed 7
    python -m tests.waiting.prove --programs 300 --plant "a sleep begins anew after a kill"     # has to fail

Exit status 0: every program came to what the model says, and every planted bug was found. A complaint names
the case, which this runs once more:

    python -m tests.waiting.prove --seed 31 --programs 1
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.support.planting import plant
from tests.waiting.planted_bugs import BUGS, bug

Work = tuple[str, int]
"""A case: in which kind of processes, and its number."""


async def _complaints(seed: int) -> list[str]:
    from tests.waiting.cases import case_of  # after the bug is planted

    return [complaint async for complaint in case_of(seed).complaints()]


def work_on(work: Work) -> list[str]:
    """What is wrong with one case."""
    logging.disable(logging.ERROR)  # that a failure was survived is no news here
    kind, seed = work
    if kind == "simulated":
        return asyncio.run(_complaints(seed))
    from tests.waiting.cases import complaints_of_real

    return complaints_of_real(seed)


def prove(works: Sequence[Work], *, jobs: int, minutes: float, most: int) -> tuple[int, list[str]]:
    """Work on cases, until there are too many complaints or the time is up. Returns how many were done, and what is wrong.

    :param most: so many complaints are enough.
    """
    until, done, wrong = time.monotonic() + 60 * minutes, 0, list[str]()
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for complaints in pool.imap_unordered(work_on, works):
            done += 1
            wrong += complaints
            for complaint in complaints:
                print(complaint, flush=True)
            if done % 500 == 0:
                print(f"{done} of {len(works)} programs", flush=True)
            if time.monotonic() > until or len(wrong) >= most:
                break
    return done, wrong


def is_found(name: str) -> bool:
    """Whether the programs find a planted bug."""
    command = [sys.executable, "-m", "tests.waiting.prove", "--programs", "500", "--plant", name]
    found = subprocess.run(command, capture_output=True, text=True)
    print(f"{name}: {found.stdout.splitlines()[0][:200] if found.stdout else found.stderr}", flush=True)
    return found.returncode == 1 and "Case(seed=" in found.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--real", type=int, default=0, help="so many more, by processes that really are killed")
    parser.add_argument("--seed", type=int, default=1, help="of the first; the others follow")
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="stop then, however many were done")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--bugs", action="store_true", help="first plant each of our bugs, which all have to be found")
    parser.add_argument("--plant", type=bug, help="a bug that has to be found")
    options = parser.parse_args(arguments)
    if options.plant is not None:
        plant(options.plant)
    missed = [each.name for each in BUGS if not is_found(each.name)] if options.bugs else []
    for name in missed:
        print(f"nobody has found that {name}")
    seeds = range(options.seed, options.seed + max(options.programs, options.real))
    works = [("simulated", seed) for seed in seeds[: options.programs]]
    real = [("real", seed) for seed in seeds[: options.real]]
    spread = max(1, len(works) // len(real)) if real else 1
    for number, each in enumerate(real):
        works.insert(number * (spread + 1), each)
    done, wrong = prove(works, jobs=options.jobs, minutes=options.minutes, most=1 if options.plant else 20)
    print(f"{done} programs, {len(wrong)} of their runs ended otherwise than the model says (seed {options.seed})")
    return 1 if wrong or missed else 0


if __name__ == "__main__":
    sys.exit(main())
