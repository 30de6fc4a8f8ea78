"""A program run by real processes, which kill themselves with SIGKILL at a moment, or are killed at any time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from spark.graphs.checkpoint import backend_class
from tests.crash.children import be_a_child, read_all
from tests.waiting.ledger import FileLedger
from tests.waiting.programs import Chain
from tests.waiting.running import Ran, Turns
from tests.waiting.world import Disturbance, IdleClock, RealProcess

MOST_PROCESSES = 200
BETWEEN = 1000.0
"""Seconds from one process to the next, of which nobody knows how far its clock went."""


@dataclass(frozen=True)
class Real:
    """A program, and where its processes meet.

    :param url: of the store.
    """

    program: Chain
    folder: Path
    url: str
    seed: str
    durability: str = "sync"

    def run(self, disturbances: Sequence[Disturbance], *, shots: Sequence[float] = ()) -> Ran:
        """Run the program to its end.

        :param disturbances: what happens to the first process, the second…
        :param shots: after how many seconds each of those that follow is killed.
        """
        asyncio.run(_look_at(self.url))  # what that imports is not imported again in every process
        seconds, due = 0.0, None
        for number in range(MOST_PROCESSES):
            disturbance = disturbances[number] if number < len(disturbances) else None
            place = number - len(disturbances)
            shot = shots[place] if 0 <= place < len(shots) else None
            left = self._fork(number, disturbance, seconds, due, shot=shot)
            if left is None:
                seconds, due = seconds + BETWEEN, None
                continue
            seconds, due = left["seconds"], left["due"]
            if left["status"] == "completed":
                ledger = FileLedger(self._ledger)
                ledger.close()
                return Ran(left["value"], left["state"], left["commits"], ledger, self.durability)
        raise AssertionError(f"The program has not ended after {MOST_PROCESSES} processes.")

    @property
    def _ledger(self) -> Path:
        return self.folder / "ledger"

    def _fork(
        self, number: int, disturbance: Disturbance | None, seconds: float, due: str | None, *, shot: float | None
    ) -> dict[str, Any] | None:
        """Let one process run the program. Returns what it has left; None if it was killed.

        :raises AssertionError: it failed.
        """
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            be_a_child(lambda: self._turn(number, disturbance, seconds, due), answer_to=writer)
        os.close(writer)
        if shot is not None:
            time.sleep(shot)
            os.kill(child, signal.SIGKILL)
        answer = read_all(reader).decode()
        _, status = os.waitpid(child, 0)
        if answer.startswith("{"):
            return json.loads(answer)  # type: ignore[no-any-return]
        assert os.WIFSIGNALED(status), f"process {number}: {answer}"
        ledger = FileLedger(self._ledger)
        ledger.note("killed")
        ledger.close()
        return None

    async def _turn(self, number: int, disturbance: Disturbance | None, seconds: float, due: str | None) -> str:
        random, clock = Random(f"{self.seed}/{number}"), IdleClock(seconds)
        ledger = FileLedger(self._ledger)
        process = RealProcess(ledger, clock, disturbance)
        async with backend_class(self.url).from_url(self.url) as store:
            turns = Turns(self.program, store, ledger, clock, durability=self.durability)
            graph, message = await turns.take(
                process,
                random,
                is_first=not number,
                due=datetime.fromisoformat(due) if due else None,
                claim=random.random() < 0.3,
            )
            stored = await turns.manager.load_latest(graph.graph_id)
        return json.dumps(
            {
                "seconds": clock.seconds,
                "status": message and message.status,
                "due": message and message.due and message.due.isoformat(),
                "value": message and message.content and message.content["value"],
                "state": graph.get_state_snapshot(),
                "commits": stored and stored.execution_metadata["iteration"],
            }
        )


async def _look_at(url: str) -> None:
    async with backend_class(url).from_url(url) as store:
        await store.list("nothing")
