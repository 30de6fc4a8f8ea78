"""A step waits for a message from outside. It gets each once, in order, whenever and from wherever that was sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from spark.errors import (
    BackendError,
    CheckpointDamagedError,
    GraphDefinitionError,
    GraphRestoreError,
    InvalidIdError,
    RunError,
    SerializationError,
    SignalTimeoutError,
)
from spark.graphs import Graph, JoinNode, Message, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.derived.history import DerivedHistory
from spark.graphs.checkpoint.derived.inbox import KEPT
from spark.graphs.checkpoint.derived.notices import _LISTENERS
from spark.graphs.checkpoint.storage import derived_id
from spark.graphs.engine.parallel import ParallelSteps
from spark.graphs.engine.step_runner import StepRunner
from spark_testing import FaultyBackend
from spark_testing.clock import FakeClock, SkippingClock
from tests.support.minimal_backend import MinimalBackend
from tests.support.running import Does, every_step

Work = Callable[[NodeContext], Awaitable[Any]]
DAYS = timedelta(days=3)


class Shop:
    """Graphs called "shop" in one store, of nodes that do what they are told."""

    def __init__(self, backend: CheckpointBackend | None = None, clock: FakeClock | None = None) -> None:
        self.backend = backend or FaultyBackend(InMemoryCheckpointBackend())
        self.clock = clock or FakeClock()
        self.manager = CheckpointManager(self.backend, clock=self.clock)

    def graph(self, *works: Work, poll: float = 1.0, config: CheckpointConfig | None = None) -> Graph:
        start = Does(lambda context: {}, name="start")
        branches = [Does(work, name=name) for name, work in zip("abcdef", works, strict=False)]
        start >> branches >> JoinNode(name="join")
        return self.of(start, poll=poll, config=config)

    def of(self, start: Node, *, poll: float = 1.0, config: CheckpointConfig | None = None) -> Graph:
        config = config or CheckpointConfig(backend=self.backend, trigger_on_iteration=1, signal_poll=poll)
        return Graph(start, id="shop", checkpoint_config=config, clock=self.clock)

    async def send(self, *values: Any, name: str = "go") -> None:
        for value in values:
            await self.manager.send("shop", name, value)

    def inbox_calls(self) -> int:
        assert isinstance(self.backend, FaultyBackend)
        return self.backend.calls.count("next_sequence")


async def waits(context: NodeContext) -> Any:
    return await context.wait_for("go")


async def until_idle() -> None:
    """Long enough for a run to do all that it can."""
    for _ in range(200):
        await asyncio.sleep(0)


async def sent_elsewhere(shop: Shop) -> None:
    """Send 1 as another process does it: nobody in this one hears of it."""
    assert isinstance(shop.backend, FaultyBackend)
    inbox = DerivedHistory(shop.backend.inner, "inbox", "shop")
    await inbox.append({"value": 1}, {"topic": "signal:go"})


def results(message: Message) -> Any:
    return message.content["results"]


def loop(times: int, work: Work) -> Node:
    """Does the same again and again, and keeps what came of it."""

    async def step(context: NodeContext) -> Any:
        got = [*context.inputs.get("got", []), await work(context)]
        return {"got": got, "more": len(got) < times}

    start = Does(step, name="loop")
    start.on(more=True) >> start
    return start


class TestReceiving:
    @pytest.mark.parametrize("make", [InMemoryCheckpointBackend, MinimalBackend])
    async def test_what_was_sent_before_there_was_a_graph_is_received(
        self, make: Callable[[], CheckpointBackend]
    ) -> None:
        shop = Shop(make())
        assert await shop.manager.send("shop", "go", {"by": "me"})
        assert results(await shop.graph(waits).run()) == [{"by": "me"}]

    async def test_a_run_that_waits_is_told_at_once(self) -> None:
        shop = Shop()
        run = asyncio.create_task(shop.graph(waits).run())
        await until_idle()
        assert not run.done()
        await shop.send(1)
        assert results(await run) == [1]
        assert shop.clock.seconds == 0

    async def test_a_message_for_a_run_that_has_returned_is_there_when_it_is_resumed(self) -> None:
        shop = Shop()
        left = await shop.graph(waits).run(wait=False)
        assert (left.status, left.due) == ("waiting", None)
        assert (await shop.graph(waits).run(resume=True, wait=False)).status == "waiting"
        await shop.send(1)
        assert results(await shop.graph(waits).run(resume=True, wait=False)) == [1]

    async def test_another_process_is_heard_by_looking_now_and_then(self) -> None:
        shop = Shop(FaultyBackend(MinimalBackend()))
        run = asyncio.create_task(shop.graph(waits, poll=5).run())
        await until_idle()
        await sent_elsewhere(shop)
        looked = shop.inbox_calls()
        await until_idle()
        shop.clock.advance(4.9)
        await until_idle()
        assert (run.done(), shop.inbox_calls()) == (False, looked)
        shop.clock.advance(0.2)
        assert results(await run) == [1]

    async def test_one_look_that_finds_nothing_is_one_read(self) -> None:
        shop = Shop(FaultyBackend(MinimalBackend()))
        run = asyncio.create_task(shop.graph(waits).run())
        await until_idle()
        assert isinstance(shop.backend, FaultyBackend)
        shop.backend.calls.clear()
        for _ in range(3):
            shop.clock.advance(1)
            await until_idle()
        assert shop.backend.calls == ["next_sequence"] * 3
        await shop.send(1)
        await run

    async def test_messages_come_in_order_and_each_once(self) -> None:
        shop = Shop()
        await shop.send(1, 2, 3)
        assert (await shop.of(loop(3, waits)).run({})).content["got"] == [1, 2, 3]

    async def test_twice_in_one_step(self) -> None:
        async def twice(context: NodeContext) -> Any:
            return [await context.wait_for("go"), await context.wait_for("go")]

        shop = Shop()
        await shop.send(1)
        assert (await shop.graph(twice).run(wait=False)).status == "waiting"
        await shop.send(2)
        assert results(await shop.graph(twice).run(resume=True)) == [[1, 2]]

    async def test_two_names_at_once_in_any_order(self) -> None:
        async def both(context: NodeContext) -> Any:
            return await asyncio.gather(context.wait_for("one"), context.wait_for("two"))

        shop = Shop()
        run = asyncio.create_task(shop.graph(both).run())
        await until_idle()
        await shop.send(2, name="two")
        await until_idle()
        await shop.send(1, name="one")
        assert results(await run) == [[1, 2]]

    async def test_the_first_to_wait_is_the_first_to_be_served(self) -> None:
        async def late(context: NodeContext) -> Any:
            await context.sleep(60)
            return await context.wait_for("go")

        shop = Shop()
        run = asyncio.create_task(shop.graph(late, waits, waits).run())
        await until_idle()
        shop.clock.advance(61)
        await until_idle()
        await shop.send("first")
        await shop.send("second", "third")
        assert results(await run) == ["third", "first", "second"]

    async def test_each_item_of_a_map_gets_one(self) -> None:
        start = Does(lambda context: {"items": [10, 20, 30]}, name="start")
        item = Does(waits, name="item")
        start.each("items") >> item >> JoinNode(name="join")
        shop = Shop()
        assert (await shop.of(start).run(wait=False)).status == "waiting"
        await shop.send("a", "b")
        assert (await shop.of(start).run(resume=True, wait=False)).status == "waiting"
        await shop.send("c")
        assert results(await shop.of(start).run(resume=True)) == ["a", "b", "c"]

    async def test_other_names_and_graphs_are_not_meant(self) -> None:
        shop = Shop()
        await shop.send(1, name="other")
        await shop.manager.send("another", "go", 2)
        assert (await shop.graph(waits).run(wait=False)).status == "waiting"

    async def test_what_is_received_is_the_steps_own(self) -> None:
        async def keeps(context: NodeContext) -> Any:
            value = await context.wait_for("go")
            kept = [*value]
            value.append("spoilt")
            await context.interrupt()
            return kept

        shop = Shop()
        await shop.send([1])
        asked = await shop.graph(keeps).run()
        assert results(await shop.graph(keeps).run(resume={asked.interrupts[0].id: True})) == [[1]]

    async def test_a_run_that_is_drained_while_it_looks_starts_nothing(self) -> None:
        began: list[int] = []

        async def counts(context: NodeContext) -> Any:
            began.append(1)
            return await context.wait_for("go")

        shop = Shop()
        assert isinstance(shop.backend, FaultyBackend)
        graph = shop.graph(counts)
        run = asyncio.create_task(graph.run())
        await until_idle()
        fault = shop.backend.hang("next_sequence", at=2)
        await sent_elsewhere(shop)
        await shop.manager.send("shop", "other")
        await fault.reached.wait()
        graph.drain()
        fault.released.set()
        assert ((await run).status, began) == ("drained", [1])
        assert results(await shop.graph(counts).run(resume=True)) == [1]

    async def test_a_run_that_is_woken_before_it_waits_does_not_wait(self) -> None:
        parallel = ParallelSteps(StepRunner({}, threads=1), graph_id="g")
        parallel.wake()
        assert await asyncio.wait_for(parallel.next(), 60) is None

    async def test_a_run_that_waits_beside_others_commits_them(self) -> None:
        shop = Shop()

        async def sends(context: NodeContext) -> Any:
            await context.sleep(10)
            await shop.send("from a sibling")
            return "sent"

        run = asyncio.create_task(shop.graph(waits, sends).run())
        await until_idle()
        shop.clock.advance(11)
        assert results(await run) == ["from a sibling", "sent"]


class TestTimeouts:
    async def test_without_a_message_the_default_is_returned(self) -> None:
        async def quick(context: NodeContext) -> Any:
            return await context.wait_for("go", timeout=DAYS, default="nobody")

        shop = Shop(clock=SkippingClock())
        assert results(await shop.graph(quick).run()) == ["nobody"]
        assert shop.clock.seconds == DAYS.total_seconds()

    async def test_without_a_default_it_is_an_error_that_a_step_may_catch(self) -> None:
        async def catches(context: NodeContext) -> Any:
            try:
                return await context.wait_for("go", timeout=5)
            except TimeoutError as error:
                return type(error).__name__

        shop = Shop(clock=SkippingClock())
        assert results(await shop.graph(catches).run()) == ["SignalTimeoutError"]

        async def falls(context: NodeContext) -> Any:
            return await context.wait_for("go", timeout=5)

        with pytest.raises(SignalTimeoutError, match="No signal 'go' came to node 'a' of graph 'shop'"):
            await Shop(clock=SkippingClock()).graph(falls).run()

    async def test_a_message_that_came_in_time_is_received_although_nobody_was_there(self) -> None:
        async def quick(context: NodeContext) -> Any:
            return await context.wait_for("go", timeout=DAYS, default="nobody")

        shop = Shop()
        due = (await shop.graph(quick).run(wait=False)).due
        assert due == shop.clock.utc_now() + DAYS
        await shop.send("in time")
        shop.clock.advance(2 * DAYS.total_seconds())
        assert results(await shop.graph(quick).run(resume=True)) == ["in time"]

    async def test_the_last_look_is_when_the_time_is_over(self) -> None:
        async def quick(context: NodeContext) -> Any:
            return await context.wait_for("go", timeout=5, default="nobody")

        shop = Shop(FaultyBackend(MinimalBackend()))
        run = asyncio.create_task(shop.graph(quick, poll=1000).run())
        await until_idle()
        await sent_elsewhere(shop)
        shop.clock.advance(6)
        assert results(await run) == [1]

    async def test_once_it_is_over_it_stays_over_when_the_step_is_repeated(self) -> None:
        async def asks(context: NodeContext) -> Any:
            value = await context.wait_for("go", timeout=5, default="nobody")
            return value, await context.interrupt()

        shop = Shop(clock=SkippingClock())
        asked = await shop.graph(asks).run()
        await shop.send("too late")
        done = await shop.graph(asks).run(resume={asked.interrupts[0].id: 1})
        assert results(done) == [("nobody", 1)]

    @pytest.mark.parametrize("time", ["soon", True, float("inf"), timedelta.max])
    async def test_what_is_no_time_is_refused(self, time: Any) -> None:
        async def waits_for_ever(context: NodeContext) -> Any:
            return await context.wait_for("go", timeout=time)

        with pytest.raises((TypeError, ValueError), match=r"wait_for\(timeout="):
            await Shop().graph(waits_for_ever).run()


class TestNoCheckpoints:
    async def test_waiting_for_what_can_not_come_is_refused(self) -> None:
        with pytest.raises(RunError, match=r"no.* can reach graph .* checkpoint_config"):
            await Graph(Does(waits, name="a"), id="shop").run()

    async def test_with_a_timeout_it_is_waited_for(self) -> None:
        async def quick(context: NodeContext) -> Any:
            return await context.wait_for("go", timeout=DAYS, default="nobody")

        assert (await Graph(Does(quick, name="a"), id="shop", clock=SkippingClock()).run()).content == "nobody"


class TestSending:
    async def test_a_key_makes_a_repeated_send_harmless(self) -> None:
        shop = Shop()
        send = shop.manager.send
        assert await send("shop", "go", 1, key="request-1")
        assert not await send("shop", "go", 1, key="request-1")
        assert await send("shop", "other", 1, key="request-1")
        assert results(await shop.graph(waits).run()) == [1]
        assert not await send("shop", "go", 1, key="request-1")
        assert (await shop.graph(waits).run(wait=False)).status == "waiting"

    async def test_with_a_key_two_senders_at_once_send_one(self) -> None:
        shop = Shop()
        sent = await asyncio.gather(*(shop.manager.send("shop", "go", 1, key="k") for _ in range(5)))
        assert sorted(sent) == [False] * 4 + [True]

    async def test_what_could_not_be_sent_is_said_and_can_be_sent_again(self) -> None:
        shop = Shop()
        assert isinstance(shop.backend, FaultyBackend)
        shop.backend.lose_answer("put")
        with pytest.raises(BackendError):
            await shop.manager.send("shop", "go", 1, key="k")
        assert not await shop.manager.send("shop", "go", 1, key="k")
        assert results(await shop.graph(waits).run()) == [1]

    async def test_what_can_not_be_saved_is_refused(self) -> None:
        shop = Shop()
        with pytest.raises(SerializationError, match="signal:go"):
            await shop.send(object())
        assert (await shop.graph(waits).run(wait=False)).status == "waiting"

    @pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", 5, None])
    async def test_names_that_can_not_be_used_are_refused(self, name: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="1 to 100 printable"):
            await Shop().manager.send("shop", name)

        async def waits_for_it(context: NodeContext) -> Any:
            return await context.wait_for(name)

        with pytest.raises(GraphDefinitionError, match="1 to 100 printable"):
            await Shop().graph(waits_for_it).run()

    async def test_keys_and_graph_ids_that_can_not_be_used_are_refused(self) -> None:
        with pytest.raises(GraphDefinitionError, match="id of the request"):
            await Shop().manager.send("shop", "go", key="")
        for graph_id in ("", derived_id("inbox", "shop")):
            with pytest.raises(InvalidIdError):
                await Shop().manager.send(graph_id, "go")

    @pytest.mark.parametrize("poll", [0, -1, "1", True, float("inf")])
    def test_an_interval_that_can_not_be_used_is_refused(self, poll: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="signal_poll"):
            CheckpointConfig(signal_poll=poll)


class TestAnswers:
    async def test_an_answer_is_taken_by_a_run_that_is_resumed(self) -> None:
        async def asks(context: NodeContext) -> Any:
            return await asyncio.gather(context.interrupt("one?", key="one"), context.interrupt("two?", key="two"))

        shop = Shop()
        asked = await shop.graph(asks).run()
        one, two = (each.id for each in asked.interrupts)
        await shop.manager.answer("shop", {two: 2})
        left = await shop.graph(asks).run(resume=True)
        assert [each.id for each in left.interrupts] == [one]
        await shop.manager.answer("shop", {one: 1})
        assert results(await shop.graph(asks).run(resume=True)) == [[1, 2]]

    async def test_an_answer_is_taken_by_a_run_that_is_under_way(self) -> None:
        async def asks(context: NodeContext) -> Any:
            return await context.interrupt("now?")

        busy = asyncio.Event()

        async def works(context: NodeContext) -> Any:
            await busy.wait()

        shop = Shop()
        run = asyncio.create_task(shop.graph(asks, works).run())
        await until_idle()
        (question,) = await shop.manager.interrupts("shop")
        await shop.manager.answer("shop", {question.id: "yes"})
        await until_idle()
        busy.set()
        assert results(await run) == ["yes", None]

    async def test_an_answer_that_does_not_fit_leaves_the_question_open(self) -> None:
        async def asks(context: NodeContext) -> Any:
            return await context.interrupt("how many?", schema=int)

        shop = Shop()
        (question,) = (await shop.graph(asks).run()).interrupts
        await shop.manager.answer("shop", {question.id: "many"})
        (again,) = (await shop.graph(asks).run(resume=True)).interrupts
        assert again.id == question.id
        assert again.error is not None
        await shop.manager.answer("shop", {question.id: 5})
        assert results(await shop.graph(asks).run(resume=True)) == [5]

    async def test_an_answer_to_no_open_question_is_refused(self) -> None:
        shop = Shop()
        with pytest.raises(RunError, match=r"no open question 'x'.*None is open; check the graph id and the store"):
            await shop.manager.answer("shop", {"x": 1})

    async def test_an_answer_without_the_id_of_its_question_is_refused(self) -> None:
        with pytest.raises(GraphDefinitionError, match=r"answers='yes'\): give \{interrupt.id: answer\}"):
            await Shop().manager.answer("shop", "yes")  # type: ignore[arg-type]


class TestHistories:
    """Runs after runs, forks, older checkpoints."""

    async def test_a_new_run_gets_what_earlier_ones_have_left(self) -> None:
        shop = Shop()
        await shop.send(1, 2)
        await shop.send("kept", name="other")
        for value in (1, 2):
            assert results(await shop.graph(waits).run()) == [value]

        async def other(context: NodeContext) -> Any:
            return await context.wait_for("other")

        graph = shop.graph(other)
        assert results(await graph.run()) == ["kept"]
        assert (await shop.graph(waits, other).run(wait=False)).status == "waiting"

    async def test_a_new_run_of_the_same_graph_object_and_in_the_same_state(self) -> None:
        shop = Shop()
        await shop.send(1, 2, 3)
        graph = shop.graph(waits)
        assert results(await graph.run()) == [1]
        assert results(await graph.run()) == [2]
        assert results(await graph.run(resume="state")) == [3]

    async def test_a_new_run_that_begins_after_the_last_ones_checkpoints_are_gone(self) -> None:
        shop = Shop()
        await shop.send(1, 2)
        assert results(await shop.graph(waits).run()) == [1]

        async def last(context: NodeContext) -> Any:
            return await context.wait_for("go") if context.iteration > 5 else None

        start = steps = Does(lambda context: {}, name="start")
        for number in range(6):
            steps = steps >> Does(lambda context: {}, name=f"step {number}")
        steps >> Does(last, name="last")
        config = CheckpointConfig(backend=shop.backend, trigger_on_iteration=1, max_checkpoints=1)
        assert (await shop.of(start, config=config).run()).content == 2

    async def test_a_fork_has_an_inbox_of_its_own(self) -> None:
        shop = Shop()
        await shop.send(1)
        assert (await shop.of(loop(2, waits)).run({}, wait=False)).status == "waiting"
        await shop.send("for the other")
        latest = await shop.manager.load_latest("shop")
        assert latest is not None
        fork = latest.fork("fork")
        await fork.save(shop.backend)
        await shop.manager.send("fork", "go", "for the fork")
        graph = Graph(loop(2, waits), id="fork", checkpoint_config=every_step(shop.backend), clock=shop.clock)
        assert (await graph.run(resume=True)).content["got"] == [1, "for the fork"]

    async def test_an_older_checkpoint_gets_again_what_was_received_after_it(self) -> None:
        shop = Shop()
        left = shop.graph(waits)
        await left.run(wait=False)
        before = await shop.manager.load_latest("shop")
        assert before is not None
        await shop.send(1)
        assert results(await shop.graph(waits).run(resume=True)) == [1]
        assert results(await shop.graph(waits).run(resume=before)) == [1]

    async def test_messages_that_an_older_checkpoint_misses_are_named(self, caplog: pytest.LogCaptureFixture) -> None:
        async def quick(context: NodeContext) -> Any:
            return await context.wait_for("go", timeout=5, default="nobody")

        shop = Shop(clock=SkippingClock())
        await shop.graph(quick).run(wait=False)
        before = await shop.manager.load_latest("shop")
        await shop.send(1)
        assert results(await shop.graph(quick).run(resume=True)) == [1]
        await shop.backend.delete(derived_id("inbox", "shop"), 1)
        with caplog.at_level(logging.WARNING, "spark.graphs"):
            assert results(await shop.graph(quick).run(resume=before)) == ["nobody"]
        assert "1 signals of graph 'shop' no longer exist" in caplog.text

    async def test_a_checkpoint_that_was_copied_alone_gets_all_of_its_new_inbox(self) -> None:
        shop, other = Shop(), Shop()
        await shop.send(1, 2)
        assert (await shop.of(loop(3, waits)).run({}, wait=False)).status == "waiting"
        latest = await shop.manager.load_latest("shop")
        assert latest is not None
        await latest.save(other.backend)
        await other.send(3)
        assert (await other.of(loop(3, waits)).run(resume=True)).content["got"] == [1, 2, 3]


class TestStored:
    async def test_what_is_stored_of_it_is_small_and_says_what_is_left(self) -> None:
        shop = Shop()
        await shop.send("left", name="other")
        await shop.send(*range(30))
        assert (await shop.of(loop(31, waits)).run({}, wait=False)).status == "waiting"
        latest = await shop.manager.load_latest("shop")
        assert latest is not None
        assert latest.frontier is not None
        assert latest.frontier["inbox"] == {"1": "signal:other", "up_to": 31, "count": 30}

    @pytest.mark.parametrize(
        "inbox",
        [
            5,
            {"up_to": 3},
            {"up_to": 0, "count": 0},
            {"up_to": 1, "count": 2},
            {"up_to": True, "count": 1},
            {"up_to": 3, "count": 1, "4": "signal:go"},
            {"up_to": 3, "count": 1, "01": "signal:go"},
            {"up_to": 3, "count": 1, "1": 5},
            {"up_to": 3, "count": 1, "x": "signal:go"},
        ],
    )
    async def test_what_no_run_would_write_is_refused(self, inbox: Any) -> None:
        shop = Shop()
        await shop.graph(waits).run(wait=False)
        latest = await shop.manager.load_latest("shop")
        assert latest is not None
        assert latest.frontier is not None
        latest.frontier["inbox"] = inbox
        with pytest.raises(GraphRestoreError, match="inbox"):
            await shop.graph(waits).run(resume=latest)


class TestPruning:
    async def test_messages_that_were_received_are_deleted_but_for_the_latest(self) -> None:
        shop = Shop()
        await shop.send("left", name="other")
        await shop.send(*range(KEPT + 50))
        config = CheckpointConfig(backend=shop.backend)
        done = await shop.of(loop(KEPT + 50, waits), config=config).run({})
        assert done.content["got"] == [*range(KEPT + 50)]
        there = (await shop.backend.list(derived_id("inbox", "shop"))).sequences()
        assert there == [1, *range(52, KEPT + 52)]

    async def test_a_long_run_deletes_them_on_the_way(self) -> None:
        shop = Shop()
        await shop.send(*range(400))
        config = CheckpointConfig(backend=shop.backend)
        assert (await shop.of(loop(401, waits), config=config).run({}, wait=False)).status == "waiting"
        there = len((await shop.backend.list(derived_id("inbox", "shop"))).infos)
        assert there == KEPT

    async def test_nothing_is_deleted_before_it_is_durable_that_it_was_received(self) -> None:
        shop = Shop()
        await shop.send(*range(350))
        seen = []

        async def looks(context: NodeContext) -> Any:
            value = await context.wait_for("go")
            if value == 349:
                seen.append(len((await shop.backend.list(derived_id("inbox", "shop"))).infos))
            return value

        config = CheckpointConfig(backend=shop.backend, durability="exit")
        await shop.of(loop(350, looks), config=config).run({})
        assert seen == [350]
        assert len((await shop.backend.list(derived_id("inbox", "shop"))).infos) == KEPT

    async def test_what_can_not_be_deleted_ends_no_run(self, caplog: pytest.LogCaptureFixture) -> None:
        shop = Shop()
        assert isinstance(shop.backend, FaultyBackend)
        await shop.send(*range(KEPT + 10))
        shop.backend.fail("delete_many")
        config = CheckpointConfig(backend=shop.backend, max_checkpoints=1000)
        assert (await shop.of(loop(KEPT + 10, waits), config=config).run({})).status == "completed"
        assert "were not deleted this time" in caplog.text


class TestCrashes:
    """Whatever fails, and whenever: nothing is lost, and nothing comes twice."""

    @pytest.mark.parametrize("durability", ["sync", "async", "exit"])
    @pytest.mark.parametrize("what", ["fail", "lose_answer"])
    @pytest.mark.parametrize("at", range(1, 12))
    async def test_a_put_that_fails_loses_and_repeats_nothing(self, at: int, what: str, durability: Any) -> None:
        shop = Shop()
        assert isinstance(shop.backend, FaultyBackend)
        await shop.send(1, 2, 3)
        await shop.send("x", name="other")

        async def both(context: NodeContext) -> Any:
            return await context.wait_for("go"), await context.wait_for("other", timeout=5, default=None)

        getattr(shop.backend, what)("put", at=at)
        getattr(shop.backend, what)("put_and_delete", at=at)
        shop.clock = SkippingClock()
        config = CheckpointConfig(backend=shop.backend, trigger_on_iteration=1, durability=durability)
        done = None
        while done is None:
            try:
                done = await shop.of(loop(3, both), config=config).run({}, resume=True)
            except BackendError:
                continue
        assert done.content["got"] == [(1, "x"), (2, None), (3, None)]

    @pytest.mark.parametrize("at", range(1, 10))
    async def test_a_run_that_is_killed_anywhere(self, at: int) -> None:
        """Cut off in a call of the store, which never returns to it."""
        shop = Shop()
        assert isinstance(shop.backend, FaultyBackend)
        await shop.send(1, 2, 3)
        fault = shop.backend.hang("put", at=at)
        graph = shop.of(loop(3, waits))
        run = asyncio.create_task(graph.run({}))
        await asyncio.wait([run, asyncio.create_task(fault.reached.wait())], return_when=asyncio.FIRST_COMPLETED)
        if not run.done():
            stopped = Shop(shop.backend)
            done = await stopped.of(loop(3, waits)).run({}, resume=True)
            assert done.content["got"] == [1, 2, 3]
        fault.released.set()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    async def test_looking_that_fails_ends_the_run_and_the_next_one_receives(self) -> None:
        shop = Shop()
        assert isinstance(shop.backend, FaultyBackend)
        await shop.send(1)
        shop.backend.fail("get_many")
        with pytest.raises(BackendError):
            await shop.graph(waits).run()
        assert results(await shop.graph(waits).run(resume=True)) == [1]

    async def test_a_store_that_is_away_for_a_while_ends_no_run_that_waits(self) -> None:
        async def quick(context: NodeContext) -> Any:
            return await context.wait_for("go", timeout=5, default="nobody")

        shop = Shop(FaultyBackend(MinimalBackend()))
        assert isinstance(shop.backend, FaultyBackend)
        run = asyncio.create_task(shop.graph(quick).run())
        await until_idle()
        for _ in range(9):
            shop.backend.fail("next_sequence")
            shop.clock.advance(1)
            await until_idle()
        await sent_elsewhere(shop)
        assert not run.done()  # although its time is over: nobody knows yet what was sent before
        shop.clock.advance(1)
        assert results(await run) == [1]

    async def test_a_store_that_stays_away_ends_it(self) -> None:
        shop = Shop(FaultyBackend(MinimalBackend()))
        assert isinstance(shop.backend, FaultyBackend)
        run = asyncio.create_task(shop.graph(waits).run())
        await until_idle()
        for _ in range(10):
            shop.backend.fail("next_sequence")
            shop.clock.advance(1)
            await until_idle()
        with pytest.raises(BackendError, match="A fault was ordered"):
            await run

    async def test_a_damaged_message_is_an_error_that_names_it(self) -> None:
        store = MinimalBackend()
        shop = Shop(store)
        await shop.send(1, 2)
        store.stored[derived_id("inbox", "shop"), 1]._payload = b"{}"
        with pytest.raises(CheckpointDamagedError, match=r"__spark__\.inbox\.shop"):
            await shop.graph(waits).run()
        await store.delete(derived_id("inbox", "shop"), 1)
        assert results(await shop.graph(waits).run(resume=True)) == [2]


class TestCost:
    async def test_a_run_that_waits_for_no_message_reads_no_inbox(self) -> None:
        backend = FaultyBackend(InMemoryCheckpointBackend())
        graph = Graph(
            Does(lambda context: {}, name="start") >> Does(lambda context: 1, name="end"),
            id="shop",
            checkpoint_config=every_step(backend),
        )
        assert (await graph.run()).content == 1
        assert backend.calls.count("next_sequence") == 1
        assert "get_many" not in backend.calls
        latest = await CheckpointManager(backend).load_latest("shop")
        assert latest is not None
        assert latest.frontier is not None
        assert "inbox" not in latest.frontier
        assert "received" not in latest.execution_metadata

    async def test_nothing_is_left_behind_in_the_process(self) -> None:
        shop = Shop(FaultyBackend(MinimalBackend()))
        run = asyncio.create_task(shop.graph(waits).run())
        await until_idle()
        assert "shop" in _LISTENERS
        await shop.send(1)
        await run
        assert "shop" not in _LISTENERS
        assert [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
