"""Steps that wait for a time: how long, beside what, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spark.errors import BudgetExceededError
from spark.graphs import Budget, Graph, JoinNode, Message, NodeContext, Task
from spark.graphs.checkpoint import CheckpointManager, InMemoryCheckpointBackend
from spark_testing.clock import NEW_YEAR, FakeClock, SkippingClock
from tests.support.running import Does, every_step, history

HOUR = timedelta(hours=1)


def sleeping(*durations: Any, clock: FakeClock, backend: InMemoryCheckpointBackend | None = None) -> Graph:
    """One step that sleeps for each of these in turn."""

    async def work(context: NodeContext) -> Any:
        for duration in durations:
            await context.sleep(duration)
        return {"slept": len(durations)}

    config = every_step(backend) if backend is not None else None
    return Graph(Does(work, name="sleeper"), id="g", checkpoint_config=config, clock=clock)


def asking(work: Callable[[NodeContext], Any], clock: FakeClock) -> Graph:
    return Graph(Does(work, name="step"), clock=clock)


async def turns(number: int = 50) -> None:
    """Let the event loop get so far as it gets without time passing."""
    for _ in range(number):
        await asyncio.sleep(0)


class WanderingClock(FakeClock):
    """Its wall clock may be set."""

    def __init__(self) -> None:
        super().__init__()
        self.set_by = timedelta()

    def utc_now(self) -> datetime:
        return super().utc_now() + self.set_by


class TestHowLong:
    @pytest.mark.parametrize("duration", [3 * HOUR, 3 * 3600, 10800.0])
    async def test_is_given_as_a_timedelta_or_in_seconds(self, duration: Any) -> None:
        clock = SkippingClock()
        message = await sleeping(duration, clock=clock).run()
        assert (message.content, clock.seconds) == ({"slept": 1}, 3 * 3600)

    @pytest.mark.parametrize("duration", [0, -1, timedelta(days=-1)])
    async def test_nothing_to_wait_for_suspends_nothing(self, duration: Any) -> None:
        clock = FakeClock()
        assert (await sleeping(duration, clock=clock).run(wait=False)).status == "completed"

    @pytest.mark.parametrize(
        ("duration", "message"),
        [
            ("3h", "give a timedelta"),
            (True, "give a timedelta"),
            (None, "give a timedelta"),
            (float("inf"), "finite number of seconds"),
            (float("nan"), "finite number of seconds"),
            (1e300, "finite number of seconds"),
            (timedelta(days=999_999_999), "after the year 9999"),
        ],
    )
    async def test_what_is_no_duration_is_refused(self, duration: Any, message: str) -> None:
        with pytest.raises((TypeError, ValueError), match=message):
            await sleeping(duration, clock=FakeClock()).run()

    async def test_until_a_moment_which_is_local_time_when_naive(self) -> None:
        moment = NEW_YEAR + HOUR
        for given in (moment, moment.astimezone().replace(tzinfo=None)):
            clock = SkippingClock()
            await asking(lambda context, given=given: context.sleep_until(given), clock).run()  # type: ignore[misc]
            assert clock.seconds == 3600

    @pytest.mark.parametrize("moment", [HOUR, NEW_YEAR.date(), "2026-01-01", datetime.max.replace(tzinfo=UTC) - HOUR])
    async def test_what_is_no_moment_is_refused(self, moment: Any) -> None:
        if isinstance(moment, datetime):
            moment = moment.replace(tzinfo=None).replace(tzinfo=_west())
        with pytest.raises((TypeError, ValueError), match=r"context\.sleep_until\("):
            await asking(lambda context: context.sleep_until(moment), FakeClock()).run()

    async def test_thousands_of_years_take_few_pieces(self) -> None:
        clock = _Counting()
        await sleeping(timedelta(days=365 * 5000), clock=clock).run()
        assert clock.seconds == 365 * 5000 * 86400
        assert clock.sleeps < 3000

    async def test_a_loop_sleeps_again_each_time(self) -> None:
        clock = SkippingClock()
        assert (await sleeping(*[HOUR] * 5, clock=clock).run()).content == {"slept": 5}
        assert clock.seconds == 5 * 3600

    async def test_several_at_once_take_as_long_as_the_longest(self) -> None:
        async def work(context: NodeContext) -> Any:
            await asyncio.gather(*(context.sleep(hours * HOUR) for hours in (2, 1, 3)))

        clock = SkippingClock()
        await asking(work, clock).run()
        assert clock.seconds == 3 * 3600


def _west() -> Any:
    from datetime import timezone

    return timezone(timedelta(hours=-12))


class _Counting(SkippingClock):
    def __init__(self) -> None:
        super().__init__()
        self.sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds)


class TestWithoutAProcess:
    async def test_a_run_that_may_not_wait_says_when_it_goes_on(self) -> None:
        clock, backend = FakeClock(), InMemoryCheckpointBackend()
        message = await sleeping(3 * HOUR, clock=clock, backend=backend).run(wait=False)
        assert (message.status, message.due, message.node) == ("waiting", NEW_YEAR + 3 * HOUR, None)

        early = await sleeping(3 * HOUR, clock=clock, backend=backend).run(resume=True, wait=False)
        assert (early.status, early.due) == ("waiting", message.due)

        clock.advance(3 * 3600)
        done = await sleeping(3 * HOUR, clock=clock, backend=backend).run(resume=True, wait=False)
        assert (done.status, done.content) == ("completed", {"slept": 1})

    async def test_the_due_time_can_be_searched_for_and_goes_when_it_is_over(self) -> None:
        clock, backend = FakeClock(), InMemoryCheckpointBackend()
        graph = sleeping(HOUR, clock=clock, backend=backend)
        await graph.run(wait=False)
        due = {"due": (NEW_YEAR + HOUR).isoformat(), "reason": "waiting"}
        infos = await CheckpointManager(backend).list_checkpoints(metadata=due)
        assert [info.graph_id for info in infos] == ["g"]

        clock.advance(3600)
        await graph.run(resume=True)
        assert "due" not in (await history(graph))[-1].execution_metadata

    async def test_with_a_question_beside_it_the_run_returns_at_once(self) -> None:
        """It is over for today: whoever answers resumes it, and the time passes anyway."""
        start = Does(lambda context: {}, name="start")
        asks = Does(lambda context: context.interrupt("well?"), name="asks")
        start >> [Does(lambda context: context.sleep(HOUR), name="sleeps"), asks] >> JoinNode(name="join")
        graph = Graph(start, checkpoint_config=every_step(InMemoryCheckpointBackend()), clock=SkippingClock())

        message = await graph.run()
        assert (message.status, len(message.interrupts), message.due) == ("interrupted", 1, NEW_YEAR + HOUR)
        assert (await graph.run(resume={message.interrupts[0].id: 1})).status == "completed"


class TestBesideOthers:
    async def test_a_branch_that_is_due_goes_on_while_another_computes(self) -> None:
        clock, release, ended = FakeClock(), asyncio.Event(), asyncio.Event()

        async def sleeps(context: NodeContext) -> Any:
            await context.sleep(HOUR)
            ended.set()

        start = Does(lambda context: {}, name="start")
        start >> [Does(sleeps, name="sleeps"), Does(lambda context: release.wait(), name="computes")]
        run = asyncio.create_task(Graph(start, clock=clock).run())
        await turns()
        assert not ended.is_set()

        clock.advance(3600)
        await asyncio.wait_for(ended.wait(), 60)
        assert not run.done()
        release.set()
        await run

    async def test_a_clock_that_is_set_forward_is_noticed(self) -> None:
        clock = WanderingClock()
        run = asyncio.create_task(sleeping(3 * HOUR, clock=clock).run())
        await turns()
        clock.set_by = 4 * HOUR
        clock.advance(3 * 36)  # a hundredth of the time
        assert (await asyncio.wait_for(run, 60)).status == "completed"

    async def test_a_clock_that_is_set_back_lets_it_wait_longer(self) -> None:
        clock = WanderingClock()
        run = asyncio.create_task(sleeping(60, clock=clock).run())
        await turns()
        clock.set_by = -HOUR
        clock.advance(60)
        await turns()
        assert not run.done()
        clock.set_by = timedelta()
        clock.advance(60)
        assert (await asyncio.wait_for(run, 60)).status == "completed"

    async def test_a_cancelled_run_leaves_no_timer(self) -> None:
        clock, backend = FakeClock(), InMemoryCheckpointBackend()
        graph = sleeping(HOUR, clock=clock, backend=backend)
        before = asyncio.all_tasks()
        run = asyncio.create_task(graph.run())
        await turns()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

        assert asyncio.all_tasks() == before
        last = (await history(graph))[-1].execution_metadata
        assert (last["reason"], last["due"]) == ("cancelled", (NEW_YEAR + HOUR).isoformat())
        clock.advance(3600)
        assert (await graph.run(resume=True)).status == "completed"

    async def test_a_budget_counts_the_time_that_a_run_waits(self) -> None:
        clock, backend = SkippingClock(), InMemoryCheckpointBackend()
        graph = sleeping(HOUR, clock=clock, backend=backend)
        with pytest.raises(BudgetExceededError, match="60 s"):
            await graph.run(Task(budget=Budget(max_seconds=60)))
        assert (await graph.run(resume=True)).status == "completed"

    async def test_a_clock_that_fails_fails_the_run(self) -> None:
        class Broken(FakeClock):
            async def sleep(self, seconds: float) -> None:
                raise ArithmeticError("no time")

        with pytest.raises(ArithmeticError, match="no time"):
            await sleeping(HOUR, clock=Broken()).run()


class TestMany:
    async def test_items_of_a_map_sleep_at_the_same_time(self) -> None:
        clock = SkippingClock()

        async def sleeps(context: NodeContext) -> Any:
            await context.sleep(HOUR * (1 + context.index % 3))  # type: ignore[operator]
            return context.inputs

        message = await _mapped(sleeps, 30, clock)
        assert message.content == {"results": [*range(30)]}
        assert clock.seconds == 3 * 3600

    async def test_thousands_cost_time_in_proportion(self) -> None:
        """Counted in calls of the clock, which are asked for at each turn of the loop, and in timers."""
        costs = {}
        for items in (300, 1200):
            clock = _Counting()

            async def sleeps(context: NodeContext) -> Any:
                await context.sleep(HOUR + timedelta(seconds=context.index or 0))

            await _mapped(sleeps, items, clock)
            costs[items] = clock.sleeps
        assert costs[1200] < 6 * costs[300]


async def _mapped(work: Callable[[NodeContext], Any], items: int, clock: FakeClock) -> Message:
    start = Does(lambda context: {"items": [*range(items)]}, name="start")
    start.each("items") >> Does(work, name="sleeps") >> JoinNode(name="join")
    return await Graph(start, clock=clock).run()
