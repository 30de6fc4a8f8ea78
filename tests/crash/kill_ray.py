"""Let a Ray cluster of several raylets execute runs, and SIGKILL workers, supervisors, raylets and drivers on the way.

    python -m tests.crash.kill_ray --runs 50 --kills 12 --minutes 10 --seed 7
    python -m tests.crash.kill_ray --items 2000 --kills 12 --minutes 10 --seed 7

The first line is for whole runs on Ray, each step of which pays once, by a durable call; the second one for a run in a driver,
with a map whose items Ray executes. Exit status 0: all of it was completed, no step took effect twice, and what was executed
twice was under way in a process that was killed. All of it is on this machine, and listens on its loopback interface only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.crash.ray_work import Map, Runs, Work
from tests.plugins.executor_ray.cluster import add_node, ray_cluster

APP = Path(__file__).parents[1] / "plugins" / "executor_ray"
NODES = (1, 1)
"""CPUs of the raylets beside the head, which has none."""


class Drivers:
    """Programs that begin the same work, one after the other: the next one begins when one was killed."""

    def __init__(self, address: str, work: Work) -> None:
        connected = f"from tests.plugins.executor_ray.cluster import connect; connect({address!r})"
        self._program = f"import asyncio\n{connected}\n{work.program}"
        self._process = self._start()

    @property
    def is_done(self) -> bool:
        """Whether one has ended by itself."""
        return self._process.poll() == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart_if_failed(self) -> None:
        if self._process.poll() not in (None, 0):
            self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", self._program], cwd=APP.parents[2])


class Disturber:
    """Kills processes of one cluster, at random."""

    def __init__(self, cluster: Any, chance: random.Random, drivers: Drivers) -> None:
        self._cluster = cluster
        self._chance = chance
        self._drivers = drivers
        self.killed: set[int] = set()
        self.count: dict[str, int] = defaultdict(int)

    def kill_something(self) -> None:
        """A worker that executes a run, a supervisor with all that it runs, a raylet with all its workers, or a driver."""
        kind = self._chance.choices(["worker", "supervisor", "raylet", "driver"], weights=[5, 2, 2, 1])[0]
        workers = {process: title for raylet in self._raylets() for process, title in children(raylet).items()}
        if kind == "driver":
            self._drivers.kill()
        elif kind == "raylet":
            self._kill_raylet()
        elif chosen := [
            process for process, title in workers.items() if ("Supervisor" in title) == (kind == "supervisor")
        ]:
            process = self._chance.choice(chosen)
            # Ray ends the tasks of whoever submitted them along with it.
            self.killed |= {*workers} if kind == "supervisor" else {process}
            kill(process)
        else:
            return
        self.count[kind] += 1

    def _kill_raylet(self) -> None:
        node = self._chance.choice([*self._cluster.worker_nodes])
        raylet = raylet_of(node)
        self.killed |= {*children(raylet)}
        if any("Supervisor" in title for title in children(raylet).values()):
            self.killed |= {process for each in self._raylets() for process in children(each)}
        kill(raylet)
        self._cluster.remove_node(node, allow_graceful=False)
        add_node(self._cluster, self._chance.choice(NODES))

    def _raylets(self) -> list[int]:
        return [raylet_of(node) for node in self._cluster.list_all_nodes()]


def raylet_of(node: Any) -> int:
    (raylet,) = node.all_processes["raylet"]
    return int(raylet.process.pid)


def children(parent: int) -> dict[int, str]:
    """The processes that a raylet has started for tasks and actors, with their titles."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat, title = (folder / "stat").read_text(), (folder / "cmdline").read_text()
        except OSError:
            continue  # it has ended just now
        if int(stat.rpartition(")")[2].split()[1]) == parent and title.startswith("ray::") and "Agent" not in title:
            found[int(folder.name)] = title
    return found


def kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


async def disturb(cluster: Any, work: Work, *, kills: int, until: float, chance: random.Random) -> Disturber:
    """Have work done, and kill something as it gets on; wait until it is complete."""
    drivers = Drivers(cluster.address, work)
    disturber = Disturber(cluster, chance, drivers)
    moments = sorted(chance.randrange(1, work.total * 2 // 3) for _ in range(kills))
    try:
        while time.monotonic() < until:
            await asyncio.sleep(chance.uniform(0.1, 0.5))
            drivers.restart_if_failed()
            if moments and work.progress() >= moments[0]:
                del moments[0]
                disturber.kill_something()
            elif drivers.is_done and await work.is_complete():
                break
    finally:
        drivers.kill()
    return disturber


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--items", type=int, help="a map of so many items, instead of runs")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--minutes", type=float, default=10, help="at most; what is not complete then counts as lost")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--forgetful", action="store_true", help="plant a bug: checkpoints are lost with their process")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    if options.forgetful:
        os.environ["PAYING_APP_FORGETS"] = "1"
    began, chance = time.monotonic(), random.Random(options.seed)
    with (
        tempfile.TemporaryDirectory(prefix="spark-ray-") as folder,
        ray_cluster(*NODES, head_cpus=0, path=APP) as cluster,
    ):
        work: Work = Map(Path(folder), options.items) if options.items else Runs(Path(folder), options.runs)
        until = time.monotonic() + options.minutes * 60
        disturber = asyncio.run(disturb(cluster, work, kills=options.kills, until=until, chance=chance))
        found = asyncio.run(work.complaint(disturber.killed, disturber.count))
        again = work.progress() - work.total
    killed = ", ".join(f"{number} {kind}s" for kind, number in sorted(disturber.count.items()))
    print(f"killed {killed}; {again} steps were executed again; {time.monotonic() - began:.0f} s")
    if found:
        print(found)
        return 1
    print(f"{work.total} steps are complete")
    return 0


if __name__ == "__main__":
    sys.exit(main())
