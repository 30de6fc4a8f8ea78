"""What ``make demo`` runs, in short, over a part of the standard library."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.plugins.executor_ray.cluster import QUIET
from tests.plugins.support.s3.servers import S3Server
from tests.spec.page import ROOT
from tests.support.variants import first_of

EXAMPLES = ROOT / "examples"
ON_RAY = {"RAY_ADDRESS": "local", **QUIET}
SQLITE = "sqlite:///{directory}/checkpoints.db"
LIBRARY = Path(sysconfig.get_path("stdlib"))


def demo(
    *options: str, folder: Path, server: S3Server | None = None, executor: str = ""
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLES / "survive_kills.py", *options, "index_sources.py", folder]
    chosen = {"SPARK_EXECUTOR_PARSING": executor, **ON_RAY} if executor else {}
    environment = {**os.environ, **(server.environment if server else {}), **chosen}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)


def index(store: Path, folder: Path) -> None:
    """A run of the example that nobody disturbs."""
    command = [sys.executable, EXAMPLES / "index_sources.py", store.as_uri(), folder]
    subprocess.run(command, check=True, capture_output=True, timeout=200)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Some thirty real modules: enough to be killed on the way, and not more than a second of work."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for module in sorted(LIBRARY.glob("*.py"))[::6]:
        shutil.copy(module, folder)
    return folder


@pytest.mark.parametrize("store", first_of([SQLITE, ""]), ids=["sqlite", "file"])
def test_the_killed_run_ends_with_the_same_result_and_real_kills_are_counted(sources: Path, store: str) -> None:
    done = demo("--kills", "2", "--store", store, folder=sources)

    check_told(done)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "executor",
    [
        "loop",
        "process",
        pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.timeout(300)]),
    ],
)
def test_one_line_says_where_it_runs_and_the_result_is_the_same(sources: Path, executor: str) -> None:
    done = demo("--kills", "2", "--seed", "3", "--store", SQLITE, folder=sources, executor=executor)

    check_told(done, may_warn=executor == "ray")


@pytest.mark.thorough
def test_a_run_killed_over_s3_ends_with_the_same_result(sources: Path, s3_server: S3Server) -> None:
    """The short run of `make demo BACKEND=s3`."""
    store = s3_server.url(s3_server.new_bucket())

    done = demo("--kills", "1", "--seed", "11", "--store", store, folder=sources, server=s3_server)

    check_told(done)


def check_told(done: subprocess.CompletedProcess[str], *, may_warn: bool = False) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "" or may_warn, done.stderr
    *_, last = done.stdout.splitlines()
    claimed = re.fullmatch(r"The results are equal, after (\d+) kills?\.", last)
    assert claimed, last
    assert int(claimed[1]) == done.stdout.count("  killed\n") >= 1


def test_what_is_done_before_a_kill_begins_again_and_is_killed_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the machine was busy with something else during the undisturbed run, and is not any more."""
    script = runpy.run_path(str(EXAMPLES / "survive_kills.py"))
    stores = list[str]()

    def run_once(example: list[str], store: str, *, kill_after: float | None) -> tuple[dict[str, object] | None, float]:
        stores.append(store)
        is_done = kill_after is None or kill_after > 1
        return ({"of": "all"} if is_done else None), 7.0

    monkeypatch.setitem(script["main"].__globals__, "run_once", run_once)
    monkeypatch.setattr(sys, "argv", ["survive_kills.py", "--kills", "1", "--store", SQLITE])

    assert script["main"]() == 0
    assert stores[-1] == stores[-2], "it went on where it was killed"
    assert len({*stores}) == len(stores) - 1 > 2


@pytest.mark.thorough
def test_a_difference_is_noticed(sources: Path, tmp_path: Path) -> None:
    """The planted bug: the store holds the result of a run over the folder as it was before."""
    index(tmp_path / "store", sources)
    (sources / "new.py").write_text("def added(): ...")

    done = demo("--kills", "1", "--store", (tmp_path / "store").as_uri(), folder=sources)

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "The results DIFFER."


@pytest.mark.thorough
def test_a_demo_without_a_kill_proves_nothing_and_says_so(tmp_path: Path) -> None:
    index(tmp_path / "store", LIBRARY / "json")

    done = demo("--kills", "0", "--store", (tmp_path / "store").as_uri(), folder=LIBRARY / "json")

    assert done.returncode == 1
    assert "Nothing was killed" in done.stdout.splitlines()[-1]
