"""A map of 10,000 items keeps a bounded number of them in flight, and is killed and resumed on the way."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.plugins.executor_ray.cluster import ROOT, environment_for
from tests.plugins.executor_ray.map_app import BETWEEN_CHECKPOINTS, IN_FLIGHT, ITEMS

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
HERE = Path(__file__).parent
KILLED_AFTER = 4_000


def test_a_map_of_10000_items_is_bounded_and_is_killed_and_resumed(address: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ledger.touch()
    connected = f"from tests.plugins.executor_ray.cluster import connect; connect({address!r})"
    program = f"{connected}; import asyncio, map_app; asyncio.run(map_app.main({str(tmp_path)!r}))"
    environment = environment_for(address, PYTHONPATH=str(ROOT))
    told: list[str] = []
    for is_killed in (True, False):
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True) as driver:
            while is_killed and driver.poll() is None and executed(ledger) < KILLED_AFTER:
                time.sleep(0.01)
            if is_killed:
                driver.kill()
            told += driver.communicate()[0].splitlines()
    most = [int(line.split()[1]) for line in told if line.startswith("most ")]
    print(*told, executed(ledger), sep="\n")

    assert told[-1].endswith(" True")
    assert 2 < max(most) <= IN_FLIGHT
    assert {*map(int, ledger.read_text().split())} == {*range(ITEMS)}
    assert executed(ledger) <= ITEMS + IN_FLIGHT + BETWEEN_CHECKPOINTS


def executed(ledger: Path) -> int:
    return ledger.read_bytes().count(b"\n")
