"""The refund agent: wherever its processes are killed, the customer gets the same reply, and the money once."""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from spark.graphs import Message
from spark.graphs.checkpoint import CheckpointManager, InMemoryCheckpointBackend, open_backend
from tests.integration.test_demo import SQLITE, check_told
from tests.integration.test_growing_examples import EXAMPLES, killed
from tests.support.variants import first_of
from tests.waiting.ledger import Ledger
from tests.waiting.world import Disturbance, IdleClock, Killed, Kind, Mortal, Process

TASK = {"message": "The kettle of order 17 is broken."}


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(EXAMPLES)
    yield importlib.import_module("refund_agent")
    del sys.modules["refund_agent"]


@dataclass(frozen=True)
class End:
    content: Any
    messages: list[Any]
    payments: list[str]


class Case:
    """A refund from the first process to the last; between them people answer, and time passes."""

    def __init__(self, example: ModuleType, payments: Path, decision: dict[str, Any]) -> None:
        self._example = example
        self._payments = payments
        self._shop = example.Shop(payments)
        self._decision = decision
        self._store = InMemoryCheckpointBackend()
        self._clock = IdleClock()
        self._manager = CheckpointManager(self._store)
        self.moments: list[int] = []
        """How many moments each process had at which it could have been disturbed."""

    async def to_the_end(self, *, disturbed: dict[int, Disturbance]) -> End:
        """The end.

        :param disturbed: what happens to the process with this number.
        """
        for number in range(20):
            process = Process(Ledger(), self._clock, disturbed.get(number))
            message, state = await self._run(process)
            self.moments.append(process.moments)
            if message is not None and message.status == "completed":
                return End(message.content, state["messages"], self._payments.read_text().splitlines())
            if message is not None:
                await self._outside(message)
        raise AssertionError("It has not ended.")

    async def _run(self, process: Process) -> tuple[Message | None, dict[str, Any]]:
        shop = MortalShop(self._shop, process)
        graph = self._example.build(Mortal(self._store, process), shop, clock=self._clock)
        process.stop = lambda kind: graph.drain(kind)
        try:
            with self._clock.held():  # time passes between processes only, however long a thread takes
                return await graph.run(TASK, resume=True, wait=False), graph.get_state_snapshot()
        except Killed:
            return None, {}

    async def _outside(self, message: Message) -> None:
        for question in message.interrupts:
            assert question.payload == {"refund": 45, "order": 17}
            await self._manager.answer("refund-17", {question.id: self._decision})
        if message.due is not None:
            left = message.due - self._clock.utc_now()
            if left < timedelta(days=1):  # a retry
                self._clock.advance(max(0.0, left.total_seconds()))
            else:
                await self._manager.send("refund-17", "settled", "Monday", key="confirmation-1")


class MortalShop:
    """The shop as a process has it that may be killed before or after a payment."""

    def __init__(self, shop: Any, process: Process) -> None:
        self.tools = shop.tools
        self._shop = shop
        self._process = process

    def pay(self, *args: Any, **kwargs: Any) -> None:
        self._process.moment()
        self._shop.pay(*args, **kwargs)
        self._process.moment()


@pytest.mark.parametrize(("approved", "kind"), first_of(product([True, False], ["kill", "drain"])))
async def test_killed_or_stopped_at_any_instant_it_ends_as_if_nobody_had_disturbed_it(
    example: ModuleType, tmp_path: Path, approved: bool, kind: Kind
) -> None:
    def case(name: str) -> Case:
        (tmp_path / name).touch()
        return Case(example, tmp_path / name, {"approved": approved, "note": "Too old."})

    undisturbed = case("undisturbed")
    expected = await undisturbed.to_the_end(disturbed={})
    assert len(expected.messages) == (7 if approved else 6)
    assert len(expected.payments) == approved

    for process, moments in enumerate(undisturbed.moments):
        for moment in range(1, moments + 1):
            end = await case(f"{process}-{moment}").to_the_end(disturbed={process: Disturbance(kind, moment)})
            assert (end.content, end.messages) == (expected.content, expected.messages), (process, moment)
            assert len(end.payments) == approved, (process, moment)


@pytest.mark.thorough
def test_killed_for_real_it_ends_as_if_nobody_had_disturbed_it(tmp_path: Path) -> None:
    payments = tmp_path / "payments.txt"

    done = killed(
        "--kills", "3", "--seed", "3", "--store", SQLITE, "refund_agent.py", "--unattended", "--payments", payments
    )

    check_told(done)
    assert "'reply': 'Your money arrives: Monday.'" in done.stdout.splitlines()[-2]
    begun = 2 + done.stdout.count("Once more, from the beginning")
    assert len(payments.read_text().splitlines()) == begun, "one of the run that was not killed, one of the other"


@pytest.mark.thorough
def test_from_a_terminal_it_is_killed_asks_is_stopped_and_ends(tmp_path: Path) -> None:
    url, payments = f"sqlite:///{tmp_path}/store.db", tmp_path / "payments.txt"
    command = [sys.executable, str(EXAMPLES / "refund_agent.py"), url, "--payments", str(payments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as begun:
        assert begun.stdout is not None
        begun.stdout.readline()
        begun.kill()

    asked = subprocess.run(command, capture_output=True, text=True, timeout=200)
    id = asyncio.run(approve(url))
    assert "to be approved: {'refund': 45, 'order': 17}" in asked.stdout
    assert f"spark answer refund-17 '{id}=" in asked.stdout

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        while not payments.exists():
            time.sleep(0.02)
        waiting.send_signal(signal.SIGTERM)
        told, _ = waiting.communicate(timeout=200)
    assert "stopped by SIGTERM" in told

    asyncio.run(confirm(url))
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert json.loads(done.stdout.splitlines()[-1])["reply"] == "Your money arrives: Monday."
    assert len(payments.read_text().splitlines()) == 1


async def approve(url: str) -> str:
    """Answer the open question from another process; returns its id."""
    async with open_backend(url) as backend:
        manager = CheckpointManager(backend)
        [question] = await manager.interrupts("refund-17")
        await manager.answer("refund-17", {question.id: {"approved": True}})
        return question.id


async def confirm(url: str) -> None:
    async with open_backend(url) as backend:
        await CheckpointManager(backend).send("refund-17", "settled", "Monday")


def test_what_a_user_writes_of_it_has_fewer_than_sixty_lines() -> None:
    code, marker, _ = (EXAMPLES / "refund_agent.py").read_text().partition("# That is all you would write.")
    assert marker
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [
        each.body[0] for each in ast.walk(ast.parse(code)) if isinstance(each, documented) and ast.get_docstring(each)
    ]
    said = {line for each in docstrings for line in range(each.lineno, (each.end_lineno or 0) + 1)}

    lines = [line for number, line in enumerate(code.splitlines(), 1) if line.strip() and number not in said]

    assert len(lines) < 60
