"""What the tests of Ray share: one cluster, and the module that they submit, found by its name as Ray's workers find it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spark_executor_ray.executor.connection import close_all
from spark_executor_ray.ray_runs.plan import RunPlan
from tests.docs.test_code_blocks import python_of
from tests.plugins.executor_ray.cluster import ROOT, ClusterProcess, connect

MakePlan = Callable[..., RunPlan]


@pytest.fixture(autouse=True)
def findable_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    yield
    sys.modules.pop("paying_app", None)


@pytest.fixture
def plan(tmp_path: Path) -> MakePlan:
    """Makes a plan for a function of ``paying_app``, in a store of the test."""

    def make(function: str, **options: object) -> RunPlan:
        return RunPlan.of(
            f"paying_app:{function}", url=f"sqlite:///{tmp_path}/runs.db", prefix="", options={"poll": 0.02, **options}
        )

    return make


@pytest.fixture(scope="session")
def cluster_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterProcess]:
    """A head without CPUs and two raylets. Workers find these tests, what they submit, and the module of the page."""
    folder = tmp_path_factory.mktemp("apps")
    for name in ("paying_app.py", "map_app.py"):
        (folder / name).write_text(Path(__file__).with_name(name).read_text())
    (folder / "my_app.py").write_text(python_of(ROOT / "docs" / "ray-runs.md")[0].code)
    process = ClusterProcess(1, 1, paths=[folder, ROOT])
    yield process
    process.close()


@pytest.fixture(scope="session")
def cluster(cluster_process: ClusterProcess) -> Iterator[ClusterProcess]:
    """The same, with this process connected to it."""
    connect(cluster_process.address)
    import ray

    yield cluster_process
    close_all()  # tests leave executors open, and Ray ends a process that uses it when it is shut down
    ray.shutdown()


@pytest.fixture(scope="session")
def address(cluster_process: ClusterProcess) -> str:
    """Where programs connect to it."""
    return cluster_process.address
