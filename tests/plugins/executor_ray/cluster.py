"""A real Ray cluster of several raylets on this machine, which listens on the loopback interface only.

    python -m tests.plugins.executor_ray.cluster PATH CPUS…

starts one whose workers find modules in that folder, prints its address, and ends it when its standard input is closed. For
each line ``kill`` it kills the raylet with what is special; for each line ``add CPUS`` it adds such a one. It prints a line when
that is done.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

IS_WANTED = os.environ.get("SPARK_TEST_RAY") == "1"
WHY_NOT = "it starts a Ray cluster, which takes half a minute: make test-ray"
ROOT: Final = Path(__file__).parents[3]
SMALL = {"object_store_memory": 80_000_000, "node_ip_address": "127.0.0.1"}
QUIET = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray calls this machine 127.0.0.1, and so listens nowhere else
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # `uv run pytest` is not to be repeated in each worker
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}
if IS_WANTED:
    os.environ.update(QUIET)  # before anything imports Ray, which reads them then
SPECIAL = {"num_gpus": 1, "resources": {"special": 1}}
"""What the first raylet beside the head has, and no other one. Ray only counts GPUs; it looks for none."""
MARK: Final = "SPARK_TEST_RAY_CLUSTER"
"""The variable that all processes of a cluster have, so that none is overlooked."""
STARTS: Final = 3
"""How often something is started that Ray gives up after 30 seconds, which are not enough on a busy machine."""
_SAYS: Final = "cluster: "
"""What lines begin with that this module prints."""
_UNTIL_NOTICED: Final = 120.0
"""Seconds in which the head notices that a raylet is gone."""
_UNTIL_ENDED: Final = 20.0
"""Seconds in which every process of a cluster that was shut down ends by itself."""


class ClusterProcess:
    """A cluster in a process of its own, so that whoever uses it has no more than a connection to it.

    :param nodes: the CPUs of each raylet beside the head.
    :param paths: where workers find modules.
    :param settings: variables that Ray reads.
    """

    def __init__(self, *nodes: int, paths: Sequence[Path], settings: Mapping[str, str] | None = None) -> None:
        folders = os.pathsep.join(map(str, paths))
        command = [sys.executable, "-m", "tests.plugins.executor_ray.cluster", folders, *map(str, nodes)]
        for _ in range(STARTS):
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **(settings or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self.address = self._answer()
            if self.address:
                return
            self._end()
        raise RuntimeError("no Ray cluster has started")

    def kill_special_node(self) -> None:
        """Kill the raylet that has what is special, and with it all of its workers."""
        self._tell("kill")

    def add_special_node(self, cpus: int) -> None:
        """Add such a one."""
        self._tell(f"add {cpus}")

    def close(self) -> None:
        """End it.

        :raises RuntimeError: something of it went on.
        """
        if self._end() != 0:
            raise RuntimeError("the Ray cluster did not end as it should; see above")

    def _end(self) -> int:
        with self._process:  # which closes the pipes
            pass
        return self._process.returncode

    def _tell(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        if not self._answer():
            raise RuntimeError(f"the Ray cluster did not {what}")

    def _answer(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:  # Ray prints as well
            if line.startswith(_SAYS):
                return line.removeprefix(_SAYS).strip()
        return ""


@contextmanager
def ray_cluster(*nodes: int, head_cpus: int = 1, path: Path | str = "") -> Iterator[Any]:
    """Connected to a new ``ray.cluster_utils.Cluster``; everything that it started has ended afterwards.

    :param nodes: the CPUs of each raylet beside the head. The first one has what is special.
    :param path: where workers find modules.
    :raises RuntimeError: processes of the cluster went on, and had to be killed.
    """
    folder = tempfile.mkdtemp(prefix="sr")  # short, because the names of sockets may not be long
    os.environ.update({**QUIET, MARK: folder, "RAY_TMPDIR": folder})
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))
    import ray  # not before: that reads the environment
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=head_cpus, include_dashboard=False, **SMALL)
        for number, cpus in enumerate(nodes):
            add_node(cluster, cpus, **({} if number else SPECIAL))
        connect(cluster.address)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        left = _ended(folder)
        shutil.rmtree(folder, ignore_errors=True)
        if left:
            raise RuntimeError(f"these processes of a Ray cluster went on after it was shut down: {left}")


def add_node(cluster: Any, cpus: int, **more: Any) -> Any:
    """One more raylet."""
    for left in reversed(range(STARTS)):
        try:
            return cluster.add_node(num_cpus=cpus, **SMALL, **more)
        except Exception:
            if not left:
                raise
    raise AssertionError


def connect(address: str) -> None:
    """Connect this process to a cluster."""
    os.environ.update(QUIET)
    import ray

    ray.init(address=address, logging_level="error", log_to_driver=False)


def environment_for(address: str, **more: str) -> dict[str, str]:
    """The variables of a program that uses a cluster."""
    return {**os.environ, **QUIET, "RAY_ADDRESS": address, **more}


def _ended(folder: str) -> dict[int, str]:
    """Wait until all processes of a cluster have ended; those that have to be killed."""
    until = time.monotonic() + _UNTIL_ENDED
    while (left := processes_of(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return left


def processes_of(folder: str) -> dict[int, str]:
    """The processes that have the mark of a cluster, beside this one, with what they are called."""
    found = {}
    mark = f"{MARK}={folder}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended just now
            if mark in (process / "environ").read_bytes().split(b"\0") and int(process.name) != os.getpid():
                found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")[:80]
    return found


def _serve(cluster: Any) -> None:
    """Do what the lines of the standard input say."""
    for line in sys.stdin:
        what, *cpus = line.split()
        if what == "kill":
            (special,) = [node for node in cluster.worker_nodes if node._ray_params.num_gpus]
            cluster.remove_node(special, allow_graceful=False)
            cluster.wait_for_nodes(timeout=_UNTIL_NOTICED)
        else:
            add_node(cluster, *map(int, cpus), **SPECIAL)
        print(f"{_SAYS}done", flush=True)


if __name__ == "__main__":
    with ray_cluster(*map(int, sys.argv[2:]), head_cpus=0, path=sys.argv[1]) as started:
        print(f"{_SAYS}{started.address}", flush=True)
        _serve(started)
