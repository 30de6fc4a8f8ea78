"""Durations, sizes, retries, and what is under way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointManager
from tests.plugins.observer_otel.conftest import Telemetry


def counts(telemetry: Telemetry, name: str) -> dict[tuple[Any, ...], int]:
    """How often it was recorded, by its attributes."""
    return {tuple(point.attributes.values()): point.count for point in telemetry.measured(name)}


async def test_runs_steps_and_calls_by_how_they_ended(telemetry: Telemetry) -> None:
    @node
    async def pay(context: NodeContext) -> dict[str, Any]:
        await context.run("charge", lambda: 1)
        if context.attempt == 1:
            raise ValueError("no")
        return {}

    graph = Graph(pay, id="shop", checkpoint_config=telemetry.config(), retry=lambda error, attempt: 0)
    await graph.run()

    assert counts(telemetry, "spark.run.duration") == {("completed",): 1}
    assert counts(telemetry, "spark.step.duration") == {("pay", "failed", "ValueError"): 1, ("pay", "finished"): 1}
    assert counts(telemetry, "spark.call.duration") == {("pay", "finished"): 1}
    [retries] = telemetry.measured("spark.step.retries")
    assert (dict(retries.attributes), retries.value) == ({"spark.node": "pay"}, 1)


async def test_a_failed_run(telemetry: Telemetry) -> None:
    @node
    async def work(context: NodeContext) -> dict[str, Any]:
        raise ValueError("no")

    with pytest.raises(ValueError):
        await Graph(work, checkpoint_config=telemetry.config()).run()

    assert counts(telemetry, "spark.run.duration") == {("failed", "ValueError"): 1}
    assert [point.value for point in telemetry.measured("spark.run.active")] == [0]


async def test_what_is_under_way(telemetry: Telemetry) -> None:
    seen: list[Any] = []

    @node
    async def work(context: NodeContext) -> dict[str, Any]:
        seen.extend(telemetry.measured("spark.run.active") + telemetry.measured("spark.step.active"))
        return {}

    await Graph(work, checkpoint_config=telemetry.config()).run()

    assert [(dict(point.attributes), point.value) for point in seen] == [({}, 1), ({"spark.node": "work"}, 1)]
    after = telemetry.measured("spark.run.active") + telemetry.measured("spark.step.active")
    assert [point.value for point in after] == [0, 0]


async def test_checkpoints_by_seconds_and_stored_bytes(telemetry: Telemetry, tmp_path: Path) -> None:
    @node
    async def work(context: NodeContext) -> dict[str, Any]:
        return {}

    url = f"sqlite:///{tmp_path}/runs.db"
    await Graph(work, id="shop", checkpoint_config=telemetry.config(url)).run()
    infos = await CheckpointManager(url).list_checkpoints("shop")

    assert counts(telemetry, "spark.checkpoint.duration") == {("finished",): len(infos)}
    [sizes] = telemetry.measured("spark.checkpoint.size")
    assert (sizes.count, sizes.sum) == (len(infos), sum(info.size for info in infos))
    spans = telemetry.named("checkpoint")
    assert [(span.attributes or {})["spark.checkpoint.size"] for span in spans] == [info.size for info in infos]


async def test_units_and_buckets_fit_seconds_and_bytes(telemetry: Telemetry, tmp_path: Path) -> None:
    @node
    async def work(context: NodeContext) -> dict[str, Any]:
        await context.run("a", lambda: 1)
        if context.attempt == 1:
            raise ValueError("no")
        return {}

    config = telemetry.config(f"sqlite:///{tmp_path}/runs.db")
    await Graph(work, id="shop", checkpoint_config=config, retry=lambda error, attempt: 0).run()

    assert telemetry.units() == {
        "spark.run.duration": "s",
        "spark.step.duration": "s",
        "spark.call.duration": "s",
        "spark.checkpoint.duration": "s",
        "spark.checkpoint.size": "By",
        "spark.run.active": "{run}",
        "spark.step.active": "{step}",
        "spark.step.retries": "{retry}",
    }
    [duration] = telemetry.measured("spark.run.duration")
    assert (duration.explicit_bounds[0], duration.explicit_bounds[-1]) == (0.001, 3600)
    [size] = telemetry.measured("spark.checkpoint.size")
    assert (size.explicit_bounds[0], size.explicit_bounds[-1]) == (256, 2**30)


async def test_many_runs_make_no_more_series_than_one(telemetry: Telemetry) -> None:
    @node
    async def work(context: NodeContext) -> dict[str, Any]:
        return {}

    config = telemetry.config()
    for number in range(20):
        await Graph(work, id=f"graph-{number}", checkpoint_config=config).run()

    assert counts(telemetry, "spark.run.duration") == {("completed",): 20}
    assert counts(telemetry, "spark.step.duration") == {("work", "finished"): 20}
    assert [len(telemetry.measured(name)) for name in telemetry.units()] == [1] * len(telemetry.units())
