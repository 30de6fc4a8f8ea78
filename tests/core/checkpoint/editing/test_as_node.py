"""An edit that counts as a step leaves exactly what that step would have left."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spark.errors import ConditionError, RunError
from spark.graphs import Graph, JoinNode, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    KeepAll,
)
from tests.support.random_graphs import Gatherer, Pauses, Shape, Worker, shapes, wire
from tests.support.running import Does, Failure, every_step
from tests.support.variants import in_full, tries


def config(store: CheckpointBackend) -> CheckpointConfig:
    return CheckpointConfig(backend=store, trigger_on_iteration=1, retention=KeepAll())


async def loaded(store: CheckpointBackend, graph_id: str) -> list[GraphCheckpoint]:
    manager = CheckpointManager(store)
    return [await manager.load_checkpoint(i.checkpoint_id) for i in await manager.list_checkpoints(graph_id)]


class TestRandomPrograms:
    @in_full
    @given(shape=shapes(), data=st.data())
    @settings(max_examples=tries(40), deadline=None)
    async def test_an_edit_in_the_name_of_a_node_equals_its_step(self, shape: Shape, data: st.DataObject) -> None:
        outputs: list[Any] = []

        class Recording(Worker):
            async def process(self, context: NodeContext) -> Any:
                outputs.append(await super().process(context))
                return outputs[-1]

        class RecordingGatherer(Recording, Gatherer):
            pass

        store = InMemoryCheckpointBackend()
        start = wire(shape, Pauses(0))
        for each in Graph(start, id="nodes").nodes.values():
            object.__setattr__(each, "__class__", RecordingGatherer if isinstance(each, JoinNode) else Recording)
        graph = Graph(start, id="real", checkpoint_config=config(store), max_concurrency=1)
        try:
            await graph.run({"fuel": shape.fuel, "trail": 1})
        except ValueError:
            assume(False)  # an item of a map failed
        history = await loaded(store, "real")
        steps = [
            (one, other)
            for one, other in pairwise(history)
            if other.execution_metadata["iteration"] == one.execution_metadata["iteration"] + 1
        ]
        assume(steps)
        before, after = data.draw(st.sampled_from(steps))
        node = after.execution_metadata["last_node"]
        manager = CheckpointManager(store)

        try:
            await manager.fork(
                before.checkpoint_id,
                "edited",
                set=after.graph_state,
                as_node=node,
                output=outputs[after.execution_metadata["iteration"] - 1],
                graph=graph,
            )
        except RunError:
            assume(False)  # several steps of it are pending, or it is executed for each item of a list

        edited = (await loaded(store, "edited"))[0]
        assert edited.frontier == after.frontier
        assert edited.graph_state == after.graph_state
        assert edited.execution_metadata["iteration"] == after.execution_metadata["iteration"]
        again = Graph(start, id="edited", checkpoint_config=config(store), max_concurrency=1)
        message = await again.run(resume=True)
        assert history[-1].frontier is not None
        assert message.content == history[-1].frontier["result"]["content"]
        assert _without_keys(again.get_state_snapshot()) == _without_keys(graph.get_state_snapshot())


def _without_keys(state: Mapping[str, Any]) -> dict[str, Any]:
    """Idempotency keys are those of a graph id."""
    return {key: value for key, value in state.items() if key != "keys"}


def reviewed(store: CheckpointBackend, *, fails: bool = False) -> Graph:
    """A draft that waits for a review, which decides what follows."""

    async def review(context: NodeContext) -> Any:
        if fails:
            raise Failure("no reviewer")
        return await context.interrupt("ok?")

    async def send(context: NodeContext) -> Any:
        return {"sent": context.inputs, "key": context.idempotency_key}

    write, look = Does(lambda context: {}, name="write"), Does(review, name="review")
    sends, drops = Does(send, name="send"), Does(lambda context: {"dropped": True}, name="drop")
    write >> look
    look.on(ok=True) >> sends
    look.on(ok=False) >> drops
    return Graph(write, id="letter", checkpoint_config=config(store))


class TestOneNode:
    async def test_an_open_question_is_gone_once_somebody_decides_as_that_node(
        self, backend: CheckpointBackend
    ) -> None:
        await reviewed(backend).run()
        manager = CheckpointManager(backend)

        await manager.edit("letter", as_node="review", output={"ok": True}, reason="she is ill")

        assert await manager.interrupts("letter") == ()
        (run,) = await manager.runs()
        assert (run.status, run.node, run.questions, run.iteration) == ("edited", "review", 0, 2)
        assert (await reviewed(backend).run(resume=True)).content["sent"] == {"ok": True}

    async def test_a_failed_step_is_replaced(self, backend: CheckpointBackend) -> None:
        with pytest.raises(Failure):
            await reviewed(backend, fails=True).run()
        manager = CheckpointManager(backend)

        await manager.edit("letter", as_node="review", output={"ok": False})

        (run,) = await manager.runs()
        assert (run.status, run.error) == ("edited", None)
        assert (await reviewed(backend).run(resume=True)).content == {"dropped": True}

    async def test_of_a_run_that_is_complete_the_edges_fire_once_more(self, backend: CheckpointBackend) -> None:
        await reviewed(backend).run()
        manager = CheckpointManager(backend)
        await manager.edit("letter", as_node="review", output={"ok": True})
        messages = [await reviewed(backend).run(resume=True)]

        for _ in range(2):
            await manager.edit("letter", as_node="review", output={"ok": True})
            messages.append(await reviewed(backend).run(resume=True))

        assert [message.content["sent"] for message in messages] == [{"ok": True}] * 3
        assert len({message.content["key"] for message in messages}) == 3, "none repeats what another one has done"

    async def test_a_last_node_completes_the_run(self, backend: CheckpointBackend) -> None:
        await reviewed(backend).run()
        manager = CheckpointManager(backend)
        await manager.edit("letter", as_node="review", output={"ok": True})

        await manager.edit("letter", as_node="send", output={"sent": "by hand"})

        assert [run.status for run in await manager.runs()] == ["completed"]
        assert (await reviewed(backend).run(resume=True)).content == {"sent": "by hand"}

    async def test_edges_that_functions_decide_need_the_graph(self) -> None:
        store = InMemoryCheckpointBackend()
        begin, end = Does(lambda context: {}, name="begin"), Does(lambda context: {"end": True}, name="end")

        def is_large(content: Any) -> bool:
            return content["size"] > 3  # type: ignore[no-any-return]

        begin.on(is_large) >> end
        graph = Graph(begin, id="g", checkpoint_config=every_step(store))
        with pytest.raises(ConditionError):
            await graph.run()
        manager = CheckpointManager(store)

        with pytest.raises(RunError, match="is_large"):
            await manager.edit("g", as_node="begin", output={"size": 5})
        await manager.edit("g", as_node="begin", output={"size": 5}, graph=graph)

        assert (await graph.run(resume=True)).content == {"end": True}

    async def test_a_node_that_is_not_there_or_can_t_be_meant_is_refused(self) -> None:
        store = InMemoryCheckpointBackend()

        async def asks(context: NodeContext) -> Any:
            return await context.interrupt("?")

        begin, each = Does(lambda context: {"items": [1, 2]}, name="begin"), Does(asks, name="each")
        two = [Does(asks, name=name) for name in ("left", "right")]
        begin.each("items") >> each >> JoinNode(name="join")
        begin >> two
        await Graph(begin, id="g", checkpoint_config=every_step(store)).run()
        manager = CheckpointManager(store)

        for node, message in (("nobody", "no such node"), ("each", "steps of it are pending")):
            with pytest.raises(RunError, match=message):
                await manager.edit("g", as_node=node, output={})
        await manager.edit("g", as_node="left", output={"done": True})

        assert len(await manager.interrupts("g")) == 3
        assert [run.status for run in await manager.runs()] == ["interrupted"]
