"""Steps that an executor executes elsewhere: what is sent, when results are released, and how many there are at a time.

That they come to the same as here, the conformance suite says.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from spark.errors import ExecutorError, NodeError, StepTimeoutError
from spark.graphs import Graph, JoinNode, Node, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.executors import Message, StepChannel, StepHandle, StepInput
from spark.graphs.executors.values import ValueCodec
from spark_testing.suites.executors import nodes
from tests.support.pickled_executor import PickledExecutor


def at_once(error: Exception, attempt: int) -> float | None:
    return 0.0 if attempt < 3 else None


@pytest.fixture
def executor() -> Iterator[PickledExecutor]:
    with PickledExecutor() as made:
        yield made


@contextmanager
def spied_on(executor: PickledExecutor, sent: list[Message]) -> Iterator[None]:
    """Every message that a step sends."""
    submit = executor.submit

    async def spy(step: StepInput, channel: StepChannel) -> StepHandle:
        tell, ask = channel.tell, channel.ask
        channel.tell = lambda message: (sent.append(message), tell(message))[1]  # type: ignore[method-assign]
        channel.ask = lambda message, reply: (sent.append(message), ask(message, reply))[1]  # type: ignore[method-assign]
        return await submit(step, channel)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executor, "submit", spy)
        yield


@node
async def reads(context: NodeContext) -> Any:
    return await context.graph_state.get("kept")


class ReadsAnew(Node):
    """Commits in parts; the first one waits for the second one's value between two of them."""

    async def process(self, context: NodeContext) -> Any:
        state = context.graph_state
        if context.node == "second":
            while not await state.length("parts"):
                await context.commit()
            await state.set("signal", 1)
            return None
        seen = [await state.get("signal", 0)]
        await state.append("parts", "a")
        await context.commit()
        while len(seen) < 2:
            await state.append("parts", "b") if await state.length("parts") < 2 else None
            await context.commit()
            if await state.get("signal", 0):
                seen.append(await state.get("signal"))
        await state.append("parts", "c")
        return seen


class AsksPlainly(Node):
    def process(self, context: NodeContext) -> None:
        context.run("pay", nodes.pay, "file")


async def test_each_result_is_released_once_it_is_committed(executor: PickledExecutor) -> None:
    graph = Graph(nodes.branches(), executor=executor)
    committed: list[int] = []
    executor.on_release = lambda: committed.append(graph.progress.iteration)
    await graph.run()

    assert sorted(executor.released) == sorted(step.token for step in executor.steps)
    assert committed == [1, 2, 3, 4, 6], "the join is committed in between, and has nothing worth sending"


async def test_only_data_is_sent(executor: PickledExecutor) -> None:
    await Graph(nodes.branches(), id="g", executor=executor).run({"x": 1})
    first = executor.steps[0]

    assert (first.key, first.attempt, first.deadline) == ("start", 1, None)
    assert (first.node.module, first.node.qualname) == (nodes.__name__, "Work")
    assert first.idempotency_key.startswith("g/")
    assert b'"x":1' in first.given.payload


async def test_a_key_that_a_node_has_read_is_sent_along_the_next_time(executor: PickledExecutor) -> None:
    start = nodes.Split()
    start.each("items", limit=1) >> reads >> JoinNode()
    await Graph(start, state={"kept": "large"}, executor=executor).run({"items": [1, 2]})
    sent = [step.given.payload for step in executor.steps if step.key == "reads"]

    assert [b"large" in payload for payload in sent] == [False, True]


async def test_large_arguments_of_a_node_are_sent_once(executor: PickledExecutor) -> None:
    asked: list[Message] = []
    start = nodes.Split()
    start.each("items", limit=1) >> nodes.Made(7, name="large", tags=(token_hex(100_000),)) >> JoinNode()
    with spied_on(executor, asked):
        graph = Graph(start, executor=executor)
        await graph.run({"items": [1, 2, 3]})
        await graph.run({"items": [1, 2, 3]})

    assert [message for message in asked if message[0] == "arguments"] == [("arguments",)]
    assert max(len(pickle.dumps(step)) for step in executor.steps) < 10_000


async def test_a_large_node_that_is_packed_is_sent_once() -> None:
    class Packs(PickledExecutor):
        packs_code = True

        def pack(self, code: Any) -> bytes:
            return pickle.dumps(code)

    asked: list[Message] = []
    start = nodes.Split()
    start.each("items", limit=1) >> nodes.Made(7, name="packed", tags=(token_hex(100_000),)) >> JoinNode()
    with Packs() as executor, spied_on(executor, asked):
        message = await Graph(start, executor=executor).run({"items": [1, 2, 3]})

    assert [result["number"] for result in message.content["results"]] == [7] * 3
    assert [message for message in asked if message[0] == "arguments"] == [("arguments",)]


async def test_what_identifies_a_node_is_made_once(executor: PickledExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    encode = ValueCodec.encode
    monkeypatch.setattr(ValueCodec, "encode", lambda *given: made.append(given[2]) or encode(*given))
    graph = Graph(nodes.Made(7), executor=executor)
    await graph.run()
    await graph.run()

    assert len([path for path in made if path == "its arguments"]) == 1


class TestFailures:
    async def test_a_checkpoint_says_where_it_was_raised_there(self, executor: PickledExecutor) -> None:
        store = InMemoryCheckpointBackend()
        graph = Graph(nodes.Fails(), id="g", executor=executor, checkpoint_config=CheckpointConfig(backend=store))
        with pytest.raises(LookupError):
            await graph.run({"how": "plain"})
        checkpoint = await CheckpointManager(store).load_latest("g")
        assert checkpoint is not None

        assert [line[2] for line in checkpoint.execution_metadata["error"]["stack"]][-1] == "Fails.process"

    async def test_a_plain_node_can_not_await(self, executor: PickledExecutor) -> None:
        with pytest.raises(NodeError, match="plain function"):
            await Graph(AsksPlainly(), executor=executor).run()

    async def test_an_executor_that_raises_is_a_failed_attempt(self) -> None:
        class Refuses(PickledExecutor):
            async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
                if step.attempt == 1:
                    raise ExecutorError("no room")
                return await super().submit(step, channel)

        with Refuses() as executor:
            message = await Graph(nodes.Echo(), executor=executor, retry=at_once).run({"x": 1})

        assert message.content == {"x": 1}

    async def test_a_result_of_another_step_is_refused(self) -> None:
        class Confuses(PickledExecutor):
            async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
                return await super().submit(step._replace(token="another"), channel)

        with (
            Confuses() as executor,
            pytest.raises(ExecutorError, match=r"something other than the result of the step \(attempt 1"),
        ):
            await Graph(nodes.Echo(), executor=executor).run()


async def test_a_step_is_told_how_long_it_may_take(executor: PickledExecutor, tmp_path: Path) -> None:
    with pytest.raises(StepTimeoutError, match="longer than its timeout of"):
        await Graph(nodes.Waits(timeout=0.2), executor=executor).run({"file": str(tmp_path / "f")})

    assert executor.steps[0].deadline == 0.2


async def test_what_is_committed_in_parts_is_committed_once_and_read_anew(executor: PickledExecutor) -> None:
    start = nodes.Echo()
    start >> [ReadsAnew(name="first"), ReadsAnew(name="second")] >> JoinNode()
    store = InMemoryCheckpointBackend()
    graph = Graph(start, id="g", executor=executor, checkpoint_config=CheckpointConfig(backend=store))
    message = await graph.run()
    checkpoint = await CheckpointManager(store).load_latest("g")
    assert checkpoint is not None

    assert message.content == {"results": [[0, 1], None]}
    assert checkpoint.graph_state["parts"] == ["a", "b", "c"]


async def test_nothing_is_sent_where_nobody_watches(executor: PickledExecutor) -> None:
    sent: list[Message] = []
    with spied_on(executor, sent):
        await Graph(nodes.Emits(), executor=executor).run()

    assert [message for message in sent if message[0] != "beat"] == []


class TestRoom:
    async def test_no_more_steps_are_with_an_executor_than_it_takes(self) -> None:
        Counts.most = Counts.now = 0
        start = nodes.Split()
        start.each("items") >> Counts(name="counts") >> JoinNode()
        with PickledExecutor(threads=8, max_in_flight=3) as executor:
            await Graph(start, executor=executor).run({"items": list(range(39))})

        assert Counts.most == 3

    async def test_those_that_wait_let_others_by_when_they_are_cancelled(self, tmp_path: Path) -> None:
        given = {"file": str(tmp_path / "f")}
        with PickledExecutor(max_in_flight=1) as executor:
            first = asyncio.create_task(Graph(nodes.Waits(), executor=executor).run(given))
            await executor.has_begun.wait()
            second = asyncio.create_task(Graph(nodes.Waits(), executor=executor).run(given))
            third = asyncio.create_task(Graph(nodes.Echo(), executor=executor).run({"x": 1}))
            for _ in range(50):
                await asyncio.sleep(0)  # by then, both wait for room
            second.cancel()
            first.cancel()
            message = await third
            await asyncio.gather(first, second, return_exceptions=True)

        assert message.content == {"x": 1}

    def test_runs_in_several_event_loops_share_it(self) -> None:
        with PickledExecutor(max_in_flight=2) as executor:
            results: list[Any] = []

            def work() -> None:
                results.append(asyncio.run(Graph(nodes.Echo(), executor=executor).run({"x": 1})).content)

            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert results == [{"x": 1}] * 8


class Counts(Node):
    """Three at a time meet here."""

    now = 0
    most = 0
    lock = threading.Lock()
    three = threading.Barrier(3, timeout=60)

    def process(self) -> None:
        with self.lock:
            Counts.now += 1
            Counts.most = max(Counts.most, Counts.now)
        self.three.wait()
        with self.lock:
            Counts.now -= 1


async def test_it_is_told_when_no_run_uses_it_any_more(executor: PickledExecutor) -> None:
    await Graph(nodes.Echo(), executor=executor).run()

    assert executor.idles == 1
