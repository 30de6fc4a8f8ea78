"""What is lost on real raylets costs an attempt."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from spark.errors import WorkerLostError
from spark.graphs import Graph
from spark_executor_ray import RayExecutor
from spark_testing.suites.executors import nodes
from spark_testing.suites.executors.given import until
from tests.plugins.executor_ray.cluster import ClusterProcess

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.usefixtures("cluster")]


async def test_a_mailbox_that_is_killed_is_replaced() -> None:
    import ray

    with RayExecutor() as executor:
        await Graph(nodes.branches(), executor=executor).run()
        opened = executor._opening
        assert opened is not None
        ray.kill(opened.result().connection._inboxes._actor)
        await until(lambda: not opened.result().connection.is_open(), what="the loss was noticed")

        assert await Graph(nodes.branches(), executor=executor).run()
        assert executor._opening is not opened


async def test_a_raylet_that_is_killed_costs_one_attempt(cluster: ClusterProcess, tmp_path: Path) -> None:
    file = tmp_path / "began"
    with RayExecutor(resources={"special": 1}) as executor:  # which one raylet has
        start = nodes.Echo(executor="loop")
        start >> nodes.Waits(retry=None)
        running = asyncio.create_task(Graph(start, executor=executor).run({"file": str(file)}))
        await until(file.exists, what="the step had begun")

        cluster.kill_special_node()

        with pytest.raises(WorkerLostError, match="is gone"):
            await running
        cluster.add_special_node(1)
        assert (await Graph(nodes.Echo(), executor=executor).run({"a": 1})).content is not None
