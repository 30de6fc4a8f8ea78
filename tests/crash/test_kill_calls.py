"""A real process is killed between a durable call and its record, and after it: who is called again, and who is not."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, Literal

import pytest

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig
from tests.crash.children import be_a_child

CALLS = 3
Moment = Literal["in the call", "after it"]


class Ledger:
    """A file with a line for each call that was made, which survives a kill."""

    def __init__(self, path: Path, *, kill: tuple[int, Moment] | None) -> None:
        self._path = path
        self._kill = kill

    def pay(self, number: int, key: str) -> str:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{number} {key}\n")
        self.reach(number, "in the call")
        return f"paid {number}"

    def reach(self, number: int, moment: Moment) -> None:
        if self._kill == (number, moment):
            os.kill(os.getpid(), signal.SIGKILL)

    def lines(self) -> list[str]:
        return self._path.read_text(encoding="utf-8").splitlines()


class Pays(Node):
    """Makes its calls one after the other, or all at the same time."""

    def __init__(self, ledger: Ledger, *, at_once: bool) -> None:
        super().__init__(name="pays")
        self._ledger = ledger
        self._at_once = at_once

    async def process(self, context: NodeContext) -> Any:
        payments = (self._pay(context, number) for number in range(CALLS))
        return await asyncio.gather(*payments) if self._at_once else [await each for each in payments]

    async def _pay(self, context: NodeContext, number: int) -> str:
        key = context.idempotency_key_for(f"pay {number}")
        paid = await context.run(f"pay {number}", self._ledger.pay, number, key)
        self._ledger.reach(number, "after it")
        return paid


def run_in_child(folder: Path, kill: tuple[int, Moment] | None, *, at_once: bool) -> int:
    """Resume the run in a process of its own. Returns the signal that ended it, or minus its exit code."""
    child = os.fork()
    if child == 0:

        async def run() -> None:
            ledger = Ledger(folder / "ledger", kill=kill)
            config = CheckpointConfig(backend=f"file://{folder / 'store'}")
            graph = Graph(Pays(ledger, at_once=at_once), id="g", checkpoint_config=config)
            message = await graph.run(resume=True)
            assert message.content == [f"paid {number}" for number in range(CALLS)]

        be_a_child(run)
    return -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(("moment", "times"), [("in the call", 2), ("after it", 1)])
def test_only_a_call_without_a_record_is_made_again_under_the_same_key(
    tmp_path: Path, number: int, moment: Moment, times: int
) -> None:
    assert run_in_child(tmp_path, (number, moment), at_once=False) == signal.SIGKILL
    assert run_in_child(tmp_path, None, at_once=False) == 0

    lines = Ledger(tmp_path / "ledger", kill=None).lines()
    assert [line.split()[0] for line in lines] == [
        str(each) for each in range(CALLS) for _ in range(times if each == number else 1)
    ]
    assert len(set(lines)) == CALLS


def test_of_calls_at_the_same_time_what_was_recorded_is_kept(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger", kill=None)
    assert run_in_child(tmp_path, (1, "after it"), at_once=True) == signal.SIGKILL
    assert run_in_child(tmp_path, None, at_once=True) == 0

    lines = ledger.lines()
    assert [line.split()[0] for line in lines].count("1") == 1
    assert len(set(lines)) == CALLS
