"""What a step says to its run, and asks: durable calls, questions, messages, values for those who watch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spark.graphs import Graph, Node
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    InMemoryCheckpointBackend,
)
from spark.graphs.events import Activity, Emitted, StepCommitted
from spark.graphs.executors import Executor
from spark_testing.suites.executors import nodes
from spark_testing.suites.executors.given import GivenExecutor, lines


class SeesAround(CheckpointHandler):
    """Notes what begins and ends."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    @contextmanager
    def around(self, activity: Activity) -> Iterator[None]:
        name = f"{activity.kind} {activity.name}"
        if activity.elsewhere is not None:
            activity.elsewhere[f"{nodes.__name__}:within"] = {"name": name}
        if activity.kind in ("step", "call"):
            self.seen.append((name, activity.node, "begins"))
        yield
        if activity.kind in ("step", "call"):
            self.seen.append((name, activity.node, activity.outcome, activity.error and repr(activity.error)))


class Talking(GivenExecutor):
    """What a step says to its run, and asks."""

    async def test_a_step_calls_durably_commits_asks_and_waits(self, executor: Executor, file: str) -> None:
        store = InMemoryCheckpointBackend()

        def graph() -> Graph:
            return Graph(nodes.Talks(), id="g", executor=executor, checkpoint_config=CheckpointConfig(backend=store))

        asked = await graph().run({"file": file})
        waiting = await graph().run(resume={asked.interrupts[0].id: True}, wait=False)
        await CheckpointManager(store).send("g", "note", "hello")
        ended = await graph().run(resume=True)

        assert (asked.status, asked.interrupts[0].payload) == ("interrupted", {"paid": 5}), (
            "the question of a step did not reach the run"
        )
        assert waiting.status == "waiting", "the answered step does not wait for its message"
        assert ended.content == {"paid": 5, "seen": 5, "answer": True, "message": "hello"}, (
            "durable call, answer and message did not come back to the step, each once"
        )
        assert lines(file) == ["paid"], "A durable call that was recorded must not be made again."

    async def test_what_handlers_do_around_a_step_and_its_calls_is_done(self, executor: Executor) -> None:
        here, there = SeesAround(), SeesAround()
        for handler, given in ((here, None), (there, executor)):
            config = CheckpointConfig(backend=InMemoryCheckpointBackend(), handler=handler)
            message = await Graph(nodes.SeesWithin(), executor=given, checkpoint_config=config).run()

        assert there.seen == here.seen, "around() is not called for a step and its durable calls as it is here"
        assert message.content == ["step SeesWithin", "call succeeds", "step SeesWithin"], (
            "what around() has put into activity.elsewhere is not entered around the node and its durable calls"
        )

    async def test_messages_of_any_size_are_handled_in_order(self, executor: Executor) -> None:
        """A large one takes longer to read than a small one, and must not be overtaken."""
        store = InMemoryCheckpointBackend()
        config = CheckpointConfig(backend=store, trigger_on_iteration=1)
        graph = Graph(nodes.SendsAnySize(), id="g", executor=executor, checkpoint_config=config)
        stream = graph.stream(only=[Emitted, StepCommitted])

        seen = [event.value[0] if isinstance(event, Emitted) else "end" async for event in stream]
        checkpoint = await CheckpointManager(store).load_latest("g")

        assert seen == [200_000, 1, 200_000, 1, 1, 3, "end"], (
            "What a node emits must be seen in its order, and before its step is committed."
        )
        assert stream.message is not None, "the stream gave no message"
        assert stream.message.content == 1, "a commit was overtaken by another one"
        assert checkpoint is not None, "the run made no checkpoint"
        assert checkpoint.graph_state == {"last": "all"}, "a commit was overtaken by the end of its step"

    @pytest.mark.parametrize("start", [nodes.Emits(), nodes.emits_plainly], ids=["async", "plain"])
    async def test_what_a_node_emits_is_seen_in_order(self, executor: Executor, start: Node) -> None:
        """Also where those who watch are slower: then the node waits."""
        stream = Graph(start, executor=executor).stream(only=[Emitted], buffer=1)

        values = [event.value async for event in stream if isinstance(event, Emitted)]

        assert values == list(range(20)), "What a node emits must be seen in its order, and nothing dropped."
        assert stream.message is not None, "the stream gave no message"
        assert stream.message.content == "emitted", "the run did not end with what the node returned"
