"""A program run to its end by one process after the other, each of which may be killed; and what is wrong with what came out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from spark.graphs import Message
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.clock import SkippingClock
from tests.waiting.building import graph_of
from tests.waiting.model import START, Expected, answer_to, expected_of
from tests.waiting.programs import Chain
from tests.waiting.world import Killed, Mortal, Process, World

MOST_PROCESSES = 500


@dataclass
class Ran:
    """How a program was run."""

    message: Message
    state: dict[str, Any]
    iteration: int
    world: World
    moments: list[int] = field(default_factory=list)
    """How many moments each process had at which it could have been killed."""

    def differences(self, expected: Expected) -> list[str]:
        """What is not as the model says."""
        found = {
            "value": (self.message.content["value"], expected.value),
            "log": (Counter(self.state.get("log", [])), expected.log),
            "count": (self.state.get("count", 0), expected.count),
            "progress": (self.state.get("progress", {}), expected.progress),
            "commits": (self.iteration, expected.commits),
        }
        wrong = [f"{name} is {is_!r}, not {should!r}" for name, (is_, should) in found.items() if is_ != should]
        paid, allowed = self.world.payments, expected.calls + self.world.may_repeat
        wrong += [
            f"{call} was paid {paid[call]} times, not {times}"
            for call, times in expected.calls.items()
            if paid[call] < times
        ]
        return wrong + [
            f"{call} was paid {times} times, at most {allowed[call]} are right"
            for call, times in paid.items()
            if times > allowed[call]
        ]


async def run_program(
    program: Chain, random: Random, *, kills: list[int], store: CheckpointBackend | None = None
) -> Ran:
    """Run a program to its end.

    :param random: decides in which order questions are answered and messages sent, and how the run is called.
    :param kills: at which of its moments each process is killed; those that follow live.
    """
    return await _Running(program, random, store or InMemoryCheckpointBackend()).to_the_end(kills)


class _Running:
    def __init__(self, program: Chain, random: Random, store: CheckpointBackend) -> None:
        self._program = program
        self._random = random
        self._store = store
        self._world = World()
        self._clock = SkippingClock()
        self._manager = CheckpointManager(store)
        self._messages = expected_of(program).signals
        """Those that nobody has sent yet."""
        self._answers: dict[str, Any] = {}

    async def to_the_end(self, kills: list[int]) -> Ran:
        moments = []
        for number in range(MOST_PROCESSES):
            process = Process(self._world, kill_at=kills[number] if number < len(kills) else None)
            message, graph = await self._run(process)
            moments.append(process.moments)
            if message is None:
                continue
            if message.status == "completed":
                last = (await self._manager.list_checkpoints("program"))[-1]
                stored = await self._manager.load_checkpoint(last.checkpoint_id)
                iteration = stored.execution_metadata["iteration"]
                return Ran(message, graph.get_state_snapshot(), iteration, self._world, moments)
            await self._outside(message)
        raise AssertionError(f"The program has not ended after {MOST_PROCESSES} processes.")

    async def _run(self, process: Process) -> tuple[Message | None, Any]:
        config = CheckpointConfig(backend=Mortal(self._store, process), trigger_on_iteration=1)
        graph = graph_of(self._program, process, checkpoint_config=config, clock=self._clock)
        waits = not self._messages and self._random.random() < 0.5
        try:
            return await graph.run({"value": START}, resume=self._answers or True, wait=waits), graph
        except Killed:
            return None, graph
        finally:
            self._answers = {}

    async def _outside(self, message: Message) -> None:
        """What happens while no process runs: questions are answered, messages sent, and time passes."""
        open = {each.id: answer_to(each.payload) for each in message.interrupts}
        if open:
            some = self._random.sample(sorted(open), self._random.randint(0, len(open)))
            self._answers = {id: open[id] for id in some}
        for _ in range(self._random.randint(0, len(self._messages)) if not open or self._random.random() < 0.5 else 0):
            name, value = self._messages.pop(0)
            await self._manager.send("program", name, value)
        if message.due is not None and self._random.random() < 0.7:
            left = (message.due - self._clock.utc_now()).total_seconds()
            self._clock.advance(max(0.0, left))
