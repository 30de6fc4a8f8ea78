"""What nodes may be, ask for and return on a real cluster of two raylets, one of which has what is special."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from spark.errors import WorkerLostError
from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark_executor_ray import RayExecutor
from spark_testing.suites.executors import nodes
from spark_testing.suites.executors.given import run
from tests.plugins.executor_ray.cluster import SMALL

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.usefixtures("cluster")]


class Where(Node):
    """Tells whether the machine that executes it has what is special."""

    def process(self) -> bool:
        import ray

        here = ray.get_runtime_context().get_node_id()
        return any(each["NodeID"] == here and "special" in each["Resources"] for each in ray.nodes())


class Large(Node):
    def process(self, context: NodeContext) -> str:
        return "x" * int(context.inputs["bytes"])


class Reads(Node):
    """Reads what is large, of which a copy is sent along with each step."""

    async def process(self, context: NodeContext) -> int:
        return len(await context.graph_state.get("large"))


class Marks(Node):
    """Writes down which process executes it."""

    def process(self, context: NodeContext) -> int:
        return mark(context)


class AsyncMarks(Node):
    """The same, and leaves its number in the state."""

    async def process(self, context: NodeContext) -> int:
        number = mark(context)
        await context.graph_state.append("done", number)
        return number


class Alone(Node):
    """Fails if two of it are executed at a time; says which GPUs it may use."""

    def process(self, context: NodeContext) -> Any:
        held = Path(context.inputs)
        held.touch(exist_ok=False)
        time.sleep(0.05)
        held.unlink()
        return os.environ.get("CUDA_VISIBLE_DEVICES")


class AloneInActor(Node):
    async def process(self, context: NodeContext) -> Any:
        await asyncio.sleep(0.05)
        return os.environ.get("CUDA_VISIBLE_DEVICES")


class Then(Node):
    """A plain node after the others."""

    def process(self, context: NodeContext) -> Any:
        return {"before": context.inputs["results"], "then": os.environ.get("CUDA_VISIBLE_DEVICES")}


def mark(context: NodeContext) -> int:
    number, folder = context.inputs
    Path(folder, f"{number}-{os.getpid()}").touch()
    return int(number)


async def test_a_node_of_a_function_and_a_lambda_travel_as_they_are() -> None:
    more = 3

    class Updates(Node):
        async def process(self, context: NodeContext) -> Any:
            await context.graph_state.update("total", lambda total: total + more, 0)
            return await context.graph_state.get("total")

    class Adds(Node):
        def process(self, context: NodeContext) -> int:
            return int(context.inputs) + more

    start = Updates()
    start >> Adds()
    with RayExecutor(code="cloudpickle") as executor:
        ran = await run(start, executor=executor)

    assert ran.message.content == 6
    assert ran.state["total"] == 3


async def test_a_node_that_asks_for_a_resource_runs_where_that_is() -> None:
    for _ in range(3):
        assert (await run(Where(executor={"ray": {"resources": {"special": 0.5}}}))).message.content is True


async def test_one_gpu_is_for_one_step_at_a_time_which_sees_its_number(tmp_path: Path) -> None:
    start = nodes.Split(executor="loop")
    start.each("items") >> Alone() >> JoinNode()
    with RayExecutor(num_gpus=1) as executor:
        ran = await run(start, {"items": [str(tmp_path / "held")] * 8}, executor=executor)

    assert ran.message.content == {"results": ["0"] * 8}


async def test_halves_of_a_gpu_are_for_two() -> None:
    assert (await run(Then(executor={"ray": {"num_gpus": 0.5}}), {"results": 0})).message.content["then"] == "0"


async def test_actors_that_have_the_only_gpu_leave_it_to_later_steps() -> None:
    """A second actor would never get a place, and a plain node only when the first one has ended."""
    start = nodes.Split(executor="loop")
    start.each("items") >> AloneInActor() >> JoinNode() >> Then()
    with RayExecutor(num_gpus=1, actors=2, concurrency=2, idle_seconds=0.2) as executor:
        ran = await run(start, {"items": [*range(10)]}, executor=executor)

    assert ran.message.content == {"before": ["0"] * 10, "then": "0"}


async def test_what_no_machine_has_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with RayExecutor(num_cpus=1000, resources={"absent": 1}) as executor, caplog.at_level(logging.WARNING):
        running = asyncio.create_task(Graph(Where(), executor=executor).run())
        async with asyncio.timeout(60):
            while "absent" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])

    assert "No machine of the Ray cluster has CPU: 1000, absent: 1" in caplog.text


async def test_a_result_that_is_larger_than_the_object_store_comes_back() -> None:
    """Ray keeps it in a file."""
    size = SMALL["object_store_memory"] + 10_000_000
    with RayExecutor() as executor:
        content = (await run(Large(), {"bytes": size}, executor=executor)).message.content

    assert len(content) == size


async def test_a_map_does_not_keep_what_it_sent() -> None:
    items, size = 500, 400_000
    start = nodes.Split(executor="loop")
    start.each("items") >> Reads() >> JoinNode()
    with RayExecutor(max_in_flight=8) as executor:
        graph = Graph(start, state={"large": "x" * size}, executor=executor)
        await graph.run({"items": [0]})
        before = own_memory()
        message = await graph.run({"items": [*range(items)]})

    assert message.content == {"results": [size] * items}
    assert own_memory() - before < items * size / 2


@pytest.mark.parametrize(("marks", "seed"), [(Marks, 1), (AsyncMarks, 2)], ids=["plain", "async"])
async def test_workers_that_are_killed_at_random_lose_nothing_and_repeat_nothing(
    tmp_path: Path, marks: type[Node], seed: int
) -> None:
    items, chance = 300, random.Random(seed)
    start = nodes.Split(executor="loop")
    start.each("items") >> marks(retry=again) >> JoinNode()
    inputs = {"items": [[number, str(tmp_path)] for number in range(items)]}
    kills = 0
    with RayExecutor(max_in_flight=8) as executor:
        running = asyncio.create_task(run(start, inputs, state={"done": []}, executor=executor))
        while not running.done():
            await asyncio.sleep(chance.uniform(0.2, 0.6))
            latest = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns, default=None)
            if latest is not None and kills < 5:
                with suppress(ProcessLookupError):
                    os.kill(int(latest.name.partition("-")[2]), signal.SIGKILL)
                    kills += 1
        ran = await running

    assert kills > 1
    assert ran.message.content == {"results": [*range(items)]}
    if marks is AsyncMarks:
        assert sorted(ran.state["done"]) == [*range(items)]


def again(error: Exception, attempt: int) -> float | None:
    """When an attempt is repeated."""
    return 0.0 if isinstance(error, WorkerLostError) else None


def own_memory() -> int:
    """Bytes of this process, without what it shares."""
    (line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("RssAnon")]
    return int(line.split()[1]) * 1024
