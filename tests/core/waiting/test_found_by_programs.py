"""What random programs have found, each as a small test of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from spark.graphs import Graph, JoinNode, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend, backend_class
from tests.support.running import Does, every_step, history


async def test_a_run_that_is_given_answers_and_cancelled_as_it_completes_is_saved_as_completed() -> None:
    """Saving the answers is no save of the end."""
    runs: list[asyncio.Task[Any]] = []

    async def work(context: NodeContext) -> Any:
        answer = await context.interrupt("sure?")
        runs[0].cancel()
        return answer

    graph = Graph(Does(work, name="work"), id="g", checkpoint_config=every_step(InMemoryCheckpointBackend()))
    (open,) = (await graph.run()).interrupts

    runs.append(asyncio.ensure_future(graph.run(resume={open.id: "yes"})))
    await asyncio.wait(runs)

    assert runs[0].cancelled()
    first_ended = [each.execution_metadata["reason"] for each in await history(graph)]
    again = await graph.run(resume=True)
    assert (again.status, again.content) == ("completed", "yes")
    assert first_ended[-1] == "completed"


async def test_questions_are_read_where_all_pending_work_is_in_chunks(tmp_path: Path) -> None:
    async def work(context: NodeContext) -> Any:
        return [await context.interrupt(f"{context.index}, {number}" * 20) for number in range(8)]

    backend = backend_class("sqlite://").from_url(f"sqlite:///{tmp_path / 'checkpoints.db'}")
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1)

    def graph() -> Graph:
        split = Does(lambda context: {"items": [*range(4)]}, name="split")
        split.each("items") >> Does(work, name="work") >> JoinNode(name="join")
        return Graph(split, id="g", checkpoint_config=config)

    asked = 0
    message = await graph().run()
    while message.status == "interrupted":
        questions = await CheckpointManager(backend).interrupts("g")
        assert questions == message.interrupts
        asked += 1
        message = await graph().run(resume={questions[0].id: "yes"})

    await backend.close()
    assert asked == 32
