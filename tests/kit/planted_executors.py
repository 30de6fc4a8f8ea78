"""Executors with one bug each, and a sound one, under the suite. Run by ``test_planted_executors.py``."""

from __future__ import annotations

import pytest

from spark.graphs.executors import Message, StepChannel, StepHandle, StepInput
from spark_testing import ExecutorConformance, leaks
from tests.support.pickled_executor import PickledExecutor, PickledLink


class Suite(ExecutorConformance):
    in_processes = False
    many = 150
    kind: type[PickledExecutor] = PickledExecutor

    @pytest.fixture(autouse=True)
    def _patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bugs are known to be there, so that nobody waits for them; what is sound may be on a busy machine."""
        monkeypatch.setattr(leaks, "LONGEST_WAIT", 1 if self.kind in BUGS else 20)

    def make_executor(self) -> PickledExecutor:
        return self.kind(threads=2)


class ExecutesTwice(PickledExecutor):
    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        await super().submit(step, channel)
        return await super().submit(step, channel)


class SaysNothing(PickledExecutor):
    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        return await super().submit(step, _Silent(channel))


class TakesAnyNumber(PickledExecutor):
    def __init__(self, *, threads: int = 2) -> None:
        super().__init__(threads=threads, max_in_flight=10_000)


class BeginsTooEarly(PickledExecutor):
    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        handle = await super().submit(step, channel)
        channel.began()
        channel.began = lambda: None  # type: ignore[method-assign]
        return handle


class LeavesThreads(PickledExecutor):
    def close(self) -> None:
        self._is_closed = True
        for step in [*self._under_way]:
            step.lose()


class TakesStepsWhenClosed(PickledExecutor):
    def close(self) -> None:
        for step in [*self._under_way]:
            step.lose()


class _Silent(PickledLink):
    """Swallows what steps tell."""

    def __init__(self, channel: StepChannel) -> None:
        super().__init__(channel)
        self.began = channel.began
        self.ask = channel.ask  # type: ignore[assignment]

    def tell(self, message: Message) -> None:
        """Nothing."""


BUGS = {
    ExecutesTwice: "each_step_is_executed_once",
    SaysNothing: "what_a_node_emits_is_seen_in_order",
    TakesAnyNumber: "never_has_more_steps_than_it_says",
    BeginsTooEarly: "waiting_for_a_worker_takes_no_time",
    LeavesThreads: "when_it_is_closed_nothing_is_left",
    TakesStepsWhenClosed: "a_step_that_comes_when_it_is_closed_fails",
}
for _kind in (PickledExecutor, *BUGS):
    globals()[f"Test{_kind.__name__}"] = type(
        f"Test{_kind.__name__}", (Suite,), {"kind": _kind, "__module__": __name__}
    )
