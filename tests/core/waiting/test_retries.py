"""A failed step is executed again, as its policy says; attempt and due time are in the checkpoint."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from random import Random
from typing import Any

import pytest
import tenacity

from spark.errors import GraphDefinitionError, NodeError, RuleError, SerializationError, StateConflictError
from spark.graphs import Graph, JoinNode, Node, NodeContext, Retry, node
from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark_testing.clock import FakeClock, SkippingClock
from tests.support.draining import until
from tests.support.running import Does, Failure, every_step, history

STEADY = Retry(jitter=False)
"""Three attempts, with one second and then two between them."""


class Flaky(Node):
    """Fails so many times, and notes what it knows of its attempts."""

    def __init__(self, times: int, error: BaseException | None = None, **more: Any) -> None:
        super().__init__(**{"name": "flaky", **more})
        self.left = times
        self.error = error
        self.seen: list[tuple[int, str | None]] = []

    async def process(self, context: NodeContext) -> Any:
        last = context.last_error
        self.seen.append((context.attempt, last and f"{last.message} {last.attempt}"))
        await context.graph_state.append("tries", context.attempt)
        if self.left:
            self.left -= 1
            raise self.error or Failure("not yet")
        return {"attempt": context.attempt}


async def seconds_of(node: Node, *, error: type[BaseException] | None = None, **more: Any) -> float:
    """How long a run of this node waits; if an error is expected, until it is raised."""
    graph = Graph(node, clock=(clock := SkippingClock()), **more)
    if error is None:
        await graph.run()
    else:
        with pytest.raises(error):
            await graph.run()
    return clock.seconds


class TestAttempts:
    async def test_a_failed_step_is_executed_again_and_knows_why(self) -> None:
        flaky = Flaky(2, retry=STEADY)
        graph = Graph(flaky, clock=(clock := SkippingClock()))

        assert (await graph.run()).content == {"attempt": 3}
        assert flaky.seen == [(1, None), (2, "not yet 1"), (3, "not yet 2")]
        assert clock.seconds == 3

    async def test_it_is_logged_without_what_the_error_says(self, caplog: pytest.LogCaptureFixture) -> None:
        """A message may hold secrets, and logs go where checkpoints don't."""
        with caplog.at_level(logging.INFO, "spark.graphs"):
            await Graph(Flaky(1, retry=STEADY), id="shop", clock=SkippingClock()).run()
        assert (
            "Graph 'shop': attempt 1 of node 'flaky' failed with Failure. The next one is due in 1 s."
            in caplog.messages
        )
        assert "not yet" not in caplog.text

    async def test_each_attempt_begins_with_a_clean_context(self) -> None:
        graph = Graph(Flaky(2, retry=STEADY), clock=SkippingClock())
        await graph.run()
        assert await graph.get_state("tries") == [3]
        assert graph.progress is not None
        assert graph.progress.iteration == 1

    async def test_when_they_are_used_up_the_run_fails_and_says_how_many_there_were(self) -> None:
        flaky = Flaky(9, retry=STEADY)
        with pytest.raises(Failure) as caught:
            await Graph(flaky, clock=SkippingClock()).run()
        assert len(flaky.seen) == 3
        assert "attempt 3 of node 'flaky'" in " ".join(caught.value.__notes__)

    async def test_durable_calls_are_kept(self) -> None:
        called: list[int] = []

        async def work(context: NodeContext) -> Any:
            await context.run("charge", called.append, 1)
            if context.attempt < 3:
                raise Failure
            return {}

        charge = Does(work, name="charge")
        charge.retry = STEADY
        await Graph(charge, clock=SkippingClock()).run()
        assert called == [1]

    async def test_a_commit_that_conflicts_is_a_failed_attempt(self) -> None:
        barrier = asyncio.Barrier(2)

        async def count(context: NodeContext) -> Any:
            value = await context.graph_state.get("count", 0)
            if context.attempt == 1:
                await barrier.wait()
            await context.graph_state.set("count", value + 1)

        start = Does(lambda context: {}, name="start")
        start >> [Does(count, name="a"), Does(count, name="b")]
        graph = Graph(start, retry=STEADY, clock=SkippingClock())
        await graph.run()
        assert await graph.get_state("count") == 2

        with pytest.raises(StateConflictError):
            await Graph(start).run()

    async def test_steps_that_wait_count_in_no_limit_of_running_ones(self) -> None:
        done: list[str] = []
        start = Does(lambda context: {}, name="start")
        other = Does(lambda context: done.append("other"), name="other")
        flaky = Flaky(1, retry=STEADY)
        start >> [flaky, other]
        clock = FakeClock()
        running = asyncio.create_task(Graph(start, max_concurrency=1, clock=clock).run())
        for _ in range(20):
            await asyncio.sleep(0)
        assert (done, len(flaky.seen)) == (["other"], 1)
        clock.advance(1)
        await running
        assert len(flaky.seen) == 2

    async def test_items_of_a_map_are_retried_before_their_errors_are_collected(self) -> None:
        def work(context: NodeContext) -> Any:
            if context.inputs > context.attempt:
                raise Failure(f"attempt {context.attempt}")
            return context.attempt

        split, worker = Does(lambda context: {"items": [1, 2, 9]}, name="split"), Does(work, name="worker")
        worker.retry = STEADY
        split.each("items", on_error="collect", limit=1) >> worker >> JoinNode(name="join")
        results = (await Graph(split, clock=SkippingClock()).run()).content["results"]
        assert results[:2] == [1, 2]
        assert results[2].message == "attempt 3"


class TestWhereItIsSaid:
    async def test_a_nodes_own_policy_wins_over_the_graphs(self) -> None:
        class Stubborn(Flaky):
            retry = Retry(max_attempts=2, jitter=False)

        class Method(Flaky):
            def retry(self, error: Exception, attempt: int) -> float | None:
                return 7 if attempt < 4 else None

        assert await seconds_of(Flaky(1), retry=STEADY) == 1
        assert await seconds_of(Stubborn(9), retry=STEADY, error=Failure) == 1
        assert await seconds_of(Method(9), error=Failure) == 21
        assert await seconds_of(Flaky(9, retry=None), retry=STEADY, error=Failure) == 0
        assert await seconds_of(Flaky(9, retry=False), retry=STEADY, error=Failure) == 0

    async def test_functions_become_nodes_with_a_policy(self) -> None:
        @node(retry=lambda error, attempt: timedelta(minutes=attempt), name="fetch")
        def fetch(context: NodeContext) -> Any:
            if context.attempt < 3:
                raise Failure
            return {}

        assert await seconds_of(fetch) == 180

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Graph(Flaky(1), retry=Retry), "this is the class"),
            (lambda: Graph(Flaky(1), retry=5), "give a Retry"),
            (lambda: Graph(Flaky(1, retry=asyncio.sleep)), "async function"),
            (lambda: Graph(Flaky(1, retry=tenacity.Retrying())), r"Retry\(stop=…, wait=…, retry=…\)"),
            (lambda: Retry(max_attempts=0), "at least 1"),
            (lambda: Retry(backoff_factor=0.5), "at least 1"),
            (lambda: Retry(max_interval=-1), "seconds or a timedelta"),
            (lambda: Retry(jitter=2), "True or False"),
            (lambda: Retry(retry_on=(ValueError, "x")), "types of exceptions only"),
            (lambda: Retry(retry_on=asyncio.CancelledError), "subclasses of Exception"),
            (lambda: Retry(wait=tenacity.wait_fixed(1), max_interval=5), "leave out the intervals"),
            (lambda: Retry(retry=tenacity.retry_always, retry_on=ValueError), "leave out retry_on"),
            (lambda: Retry(stop=3), "can't be used"),
        ],
    )
    def test_mistakes_are_refused_where_they_are_made(self, make: Any, message: str) -> None:
        with pytest.raises(GraphDefinitionError, match=message):
            make()

    @pytest.mark.parametrize("answer", [True, -1, "soon", float("nan")])
    async def test_a_function_that_returns_no_time_is_reported(self, answer: Any) -> None:
        with pytest.raises(RuleError, match=r"retry= of node 'flaky'.*seconds, a timedelta, or None") as caught:
            await Graph(Flaky(1, retry=lambda error, attempt: answer)).run()
        assert "not yet" in " ".join(caught.value.__notes__)


class TestIntervals:
    async def test_they_grow_up_to_the_longest(self) -> None:
        retry = Retry(
            max_attempts=5, initial_interval=timedelta(seconds=10), backoff_factor=3, max_interval=60, jitter=False
        )
        assert await seconds_of(Flaky(4, retry=retry)) == 10 + 30 + 60 + 60

    async def test_very_many_attempts_are_no_overflow(self) -> None:
        retry = Retry(max_attempts=2000, backoff_factor=1e9, max_interval=1, jitter=False)
        assert await seconds_of(Flaky(1500, retry=retry)) == 1500

    async def test_jitter_takes_up_to_half_off_and_comes_from_the_graphs_random(self) -> None:
        retry = Retry(max_attempts=2, initial_interval=10, max_interval=10)
        waits = [await seconds_of(Flaky(1, retry=retry), random=Random(seed)) for seed in (1, 1, 2)]
        assert waits[0] == waits[1] != waits[2]
        assert all(5 <= wait <= 10 for wait in waits)


class TestWhatIsRetried:
    @pytest.mark.parametrize(
        ("retry_on", "error", "attempts"),
        [
            (ConnectionError, ConnectionResetError(), 3),
            ((ConnectionError, TimeoutError), ValueError(), 1),
            (lambda error: "again" in str(error), ValueError("again"), 3),
            (lambda error: "again" in str(error), ValueError("never"), 1),
            (Exception, SerializationError("can't be saved"), 1),
            (Exception, GraphDefinitionError("wrong"), 1),
            (Exception, NodeError("breaks a rule"), 1),
            (Exception, SystemExit(3), 1),
        ],
    )
    async def test_what_the_policy_covers_and_what_can_get_better(
        self, retry_on: Any, error: BaseException, attempts: int
    ) -> None:
        flaky = Flaky(9, error, retry=Retry(jitter=False, retry_on=retry_on))
        with pytest.raises(type(error)):
            await Graph(flaky, clock=SkippingClock()).run()
        assert len(flaky.seen) == attempts


class TestTenacity:
    """Real strategies of the real library."""

    @pytest.mark.parametrize(
        ("retry", "attempts", "seconds"),
        [
            (Retry(stop=tenacity.stop_after_attempt(4), wait=tenacity.wait_fixed(5)), 4, 15),
            (Retry(stop=tenacity.stop_after_delay(12), wait=tenacity.wait_fixed(5)), 4, 15),
            (Retry(stop=tenacity.stop_before_delay(12), wait=tenacity.wait_fixed(5)), 3, 10),
            (Retry(stop=tenacity.stop_after_attempt(2) | tenacity.stop_after_delay(99), jitter=False), 2, 1),
            (Retry(max_attempts=4, wait=tenacity.wait_exponential(multiplier=1, max=3)), 4, 1 + 2 + 3),
            (Retry(max_attempts=3, wait=tenacity.wait_chain(*map(tenacity.wait_fixed, (7, 8)))), 3, 15),
            (Retry(jitter=False, retry=tenacity.retry_if_exception_type(OSError)), 1, 0),
            (Retry(jitter=False, retry=tenacity.retry_if_exception_message(match="not yet")), 3, 3),
        ],
    )
    async def test_its_strategies_work(self, retry: Retry, attempts: int, seconds: float) -> None:
        flaky = Flaky(99, retry=retry)
        assert await seconds_of(flaky, error=Failure) == seconds
        assert len(flaky.seen) == attempts

    async def test_how_long_they_waited_is_counted(self) -> None:
        idle: list[float] = []

        def note(state: Any) -> bool:
            idle.append(state.idle_for)
            return len(idle) == 3

        await seconds_of(Flaky(9, retry=Retry(stop=note, wait=tenacity.wait_fixed(5))), error=Failure)
        assert idle == [0, 5, 10]

    async def test_how_long_all_attempts_took_counts_from_the_beginning_of_the_first(self) -> None:
        clock = SkippingClock()

        async def slow(context: NodeContext) -> Any:
            clock.advance(10)
            raise Failure(context.attempt)

        work = Does(slow, name="slow")
        work.retry = Retry(stop=tenacity.stop_after_delay(25), wait=tenacity.wait_fixed(5))
        with pytest.raises(Failure, match="2"):
            await Graph(work, clock=clock).run()


class TestStored:
    async def test_a_killed_run_continues_with_the_right_attempt_at_the_right_time(self) -> None:
        backend, clock = InMemoryCheckpointBackend(), FakeClock()
        flaky = Flaky(2, retry=STEADY)

        def graph() -> Graph:
            return Graph(flaky, id="shop", clock=clock, checkpoint_config=every_step(backend, trigger_on_cancel=False))

        running = asyncio.create_task(graph().run())
        async with asyncio.timeout(60):
            while not await history(graph()):  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        (stored,) = await history(graph())
        assert stored.frontier is not None
        assert stored.frontier["tokens"]["1"]["failures"] == 1
        assert stored.frontier["journal"]["1/retry"]["due"] == "2026-01-01T00:00:01+00:00"

        resumed = asyncio.create_task(graph().run(resume=True))
        for _ in range(60):
            await asyncio.sleep(0)
        assert len(flaky.seen) == 1  # its time has not come
        clock.advance(1)
        await until(lambda: len(flaky.seen) == 2)
        clock.advance(2)
        assert (await resumed).content == {"attempt": 3}

    async def test_a_resumed_run_gives_a_step_that_used_up_its_attempts_one_more(self) -> None:
        backend, flaky = InMemoryCheckpointBackend(), Flaky(4, retry=STEADY)

        def graph() -> Graph:
            return Graph(flaky, id="shop", clock=SkippingClock(), checkpoint_config=every_step(backend))

        for _ in range(2):
            with pytest.raises(Failure):
                await graph().run(resume=True)
        assert (await graph().run(resume=True)).content == {"attempt": 5}
        assert flaky.seen[3:] == [(4, "not yet 3"), (5, "not yet 4")]

    async def test_messages_that_may_hold_secrets_are_not_stored_if_so_configured(self) -> None:
        backend, flaky = InMemoryCheckpointBackend(), Flaky(1, retry=STEADY)
        config = every_step(backend, record_errors=False)
        graph = Graph(flaky, id="shop", clock=SkippingClock(), checkpoint_config=config)
        await graph.run()
        assert flaky.seen == [(1, None), (2, " 1")]
        assert "not yet" not in str([each.frontier for each in await history(graph)])

    async def test_a_run_that_does_not_wait_says_when_the_next_attempt_is_due(self) -> None:
        config, flaky = every_step(InMemoryCheckpointBackend()), Flaky(1, retry=STEADY)
        clock = FakeClock()
        waiting = await Graph(flaky, id="shop", clock=clock, checkpoint_config=config).run(wait=False)
        assert (waiting.status, waiting.due) == ("waiting", clock.utc_now() + timedelta(seconds=1))

    async def test_a_branch_of_an_item_that_failed_is_not_tried_again(self) -> None:
        """The other branch waits for its next attempt when the item fails as a whole."""
        split, worker, join = (
            Does(lambda context: {"items": [1]}, name="split"),
            Does(lambda context: 1, name="worker"),
            JoinNode(),
        )
        flaky, fails = Flaky(1, retry=STEADY), Flaky(1, ValueError("broken"), name="fails")
        split.each("items", on_error="collect") >> worker >> [flaky, fails] >> join
        (error,) = (await Graph(split, clock=SkippingClock()).run()).content["results"]
        assert (error.message, len(flaky.seen)) == ("broken", 1)

    async def test_a_run_waits_for_retries_although_a_question_is_open(self) -> None:
        async def ask(context: NodeContext) -> Any:
            return await context.interrupt("?")

        start, flaky = Does(lambda context: {}, name="start"), Flaky(2, retry=STEADY)
        start >> [Does(ask, name="ask"), flaky]
        config = every_step(InMemoryCheckpointBackend())
        asked = await Graph(start, id="shop", clock=SkippingClock(), checkpoint_config=config).run()
        assert asked.status == "interrupted"
        assert len(flaky.seen) == 3
