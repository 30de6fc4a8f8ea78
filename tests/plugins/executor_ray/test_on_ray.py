"""Runs on a real cluster of three raylets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_code_blocks import python_of
from tests.plugins.executor_ray.cluster import environment_for
from tests.spec.page import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def run(program: str, *, address: str, directory: Path, url: str = "") -> list[str]:
    """What a program prints that is connected to the cluster."""
    variables = environment_for(address, SPARK_CHECKPOINT_URL=url)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=directory, env=variables, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_program_of_the_page_gets_its_result(address: str, tmp_path: Path) -> None:
    program = python_of(ROOT / "docs" / "ray-runs.md")[1].code.replace(
        "postgresql://db.example.com/runs", f"sqlite:///{tmp_path}/runs.db"
    )

    assert run(program, address=address, directory=tmp_path) == ["{'receipt': 'paid 80'}"]


LIFE = """
import asyncio, logging, ray
from spark.graphs.checkpoint import CheckpointManager
from spark_executor_ray import ray_runs

ray.init(address="auto", log_to_driver=False)

def say(*what):
    print(">", *what)  # Ray prints as well

class Says(logging.Handler):
    def emit(self, record):
        say(record.getMessage().partition(".")[0])

logging.getLogger("spark.ray_runs").addHandler(Says())
options = {"poll": 0.5, "claim_ttl": 1.5, "max_restarts": 1, "num_cpus": 0.5}

def submit(function, **inputs):
    id = f"{function}-1"
    return ray_runs.submit(f"paying_app:{function}", graph_id=id, inputs=inputs, prefix=f"{function}-", **options)

async def status(id, *wanted):
    async with asyncio.timeout(90):
        while (run := await ray_runs.status(id)).status not in wanted:
            await asyncio.sleep(0.1)
    return run.status

async def refused(work):
    try:
        await work
    except Exception as error:
        say(type(error).__name__)

async def main():
    await refused(submit("no_such"))
    await refused(submit("raising"))
    paying = {"ledger": LEDGER, "seconds": 0.5, "steps": 200}
    say(await submit("paying", **paying), await submit("paying", **paying))
    await refused(submit("paying", ledger=LEDGER + "-other"))
    await refused(ray_runs.start("paying_app:paying", prefix="pay"))
    await status("paying-1", "running")
    say(await ray_runs.drain("paying-1"))
    await ray_runs.resume("paying-1")
    say(await status("paying-1", "running"), await ray_runs.cancel("paying-1"))
    await ray_runs.resume("paying-1")
    await status("paying-1", "running")
    say(await ray_runs.stop(prefix="paying-"), await status("paying-1", "drained"))
    await ray_runs.start("paying_app:paying", prefix="paying-", **options)
    say(await status("paying-1", "running"), await ray_runs.cancel("paying-1"))
    await ray_runs.submit("paying_app:failing", graph_id="failing-1", prefix="failing-", num_gpus=50)
    say(await ray_runs.cancel("failing-1"))
    await submit("asking")
    say((await ray_runs.wait(["asking-1"]))["asking-1"].status)
    manager = CheckpointManager(URL)
    async with manager.backend:
        await manager.answer("asking-1", {(await manager.interrupts("asking-1"))[0].id: "yes"})
    await status("asking-1", "completed")
    say(await ray_runs.result("asking-1"))
    await submit("dying")
    say((await ray_runs.wait(["dying-1"], poll=0.2))["dying-1"].error.partition(":")[2])

asyncio.run(main())
"""


def test_a_run_is_refused_stopped_resumed_answered_and_given_up(address: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    program = LIFE.replace("URL", repr(url)).replace("LEDGER", repr(str(tmp_path / "ledger")))

    printed = run(program, address=address, directory=tmp_path, url=url)

    said = [line[2:] for line in printed if line.startswith("> ")]
    assert said[:-1] == [
        "GraphDefinitionError",  # no such function
        "RunError",  # it raises
        "True False",  # submitted, and submitted again
        "InputConflictError",
        "RunError",  # a prefix within that of another supervisor
        "drained",
        "running cancelled",
        "True drained",  # by stop
        "running cancelled",
        "No machine of the Ray cluster has CPU: 1, GPU: 50, which each run of 'paying_app:failing' reserves",
        "cancelled",
        "interrupted",
        "{'answer': 'yes'}",
    ]
    assert said[-1].startswith(" Graph 'dying-1' is not restarted any more: the last 2 processes that ran it ended")


def test_the_example_submits_all_orders_once(address: str, tmp_path: Path) -> None:
    program = f"import sys; sys.argv = ['x', '--orders', '5']; sys.path.insert(0, {str(ROOT / 'examples')!r})\n" + (
        "import ray_orders; ray_orders.main()"
    )
    url = f"sqlite:///{tmp_path}/orders.db"

    said = [run(program, address=address, directory=tmp_path, url=url) for _ in range(2)]

    assert said[0] == said[1]
    assert [line.split()[:2] for line in said[0]] == [[f"order-{number}", "completed"] for number in range(1, 6)]


@pytest.mark.parametrize(("forgetful", "status"), [([], 0), (["--forgetful"], 1)], ids=["", "planted bug"])
def test_what_is_killed_on_the_way_goes_on_and_takes_effect_once(forgetful: list[str], status: int) -> None:
    command = ["tests.crash.kill_ray", "--runs", "8", "--kills", "4", "--minutes", "4", "--seed", "4", *forgetful]

    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == status, done.stdout + done.stderr
