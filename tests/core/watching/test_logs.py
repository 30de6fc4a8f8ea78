"""The logger ``spark.graphs``: the life of a run at INFO, its steps at DEBUG, and no values."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractContextManager
from typing import Any

import pytest

from spark.graphs import Graph, NodeContext, Retry, node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, InMemoryCheckpointBackend
from spark.graphs.events import Activity, Event


@node
async def work(context: NodeContext) -> dict[str, Any]:
    await context.graph_state.set("key", "a secret value")
    return {"out": "a secret value"}


@node
async def ask(context: NodeContext) -> dict[str, Any]:
    return {"answer": await context.interrupt("a secret value")}


def with_store(start: Any, **config: Any) -> Graph:
    return Graph(start, id="shop", checkpoint_config=CheckpointConfig(backend=InMemoryCheckpointBackend(), **config))


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [
        record.getMessage() for record in caplog.records if record.name == "spark.graphs" and record.levelno >= level
    ]


async def test_a_run_that_completes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "spark.graphs"):
        message = await with_store(work).run({"in": "a secret value"})

    began, ended = lines(caplog)
    assert began == f"Graph 'shop': run {message.run_id} began."
    assert ended.startswith(f"Graph 'shop': run {message.run_id} returned 'completed' after 1 steps")


async def test_a_run_that_asks_and_is_resumed(caplog: pytest.LogCaptureFixture) -> None:
    graph = with_store(ask)
    with caplog.at_level(logging.INFO, "spark.graphs"):
        message = await graph.run()
        (question,) = message.interrupts
        await graph.run(resume={question.id: "a secret value"})

    text = "\n".join(lines(caplog))
    assert f"To answer: graph.run(resume={{'{question.id}': …}})" in text
    assert f"run {message.run_id} was resumed from checkpoint ckpt_" in text
    assert "secret" not in caplog.text


async def test_a_run_that_fails_says_in_which_node_and_the_message_only_at_debug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @node
    async def broken(context: NodeContext) -> None:
        raise ValueError("a secret value")

    with caplog.at_level(logging.INFO, "spark.graphs"), pytest.raises(ValueError, match="secret"):
        await with_store(broken).run()
    assert "failed in node 'broken' with ValueError" in lines(caplog)[-1]
    assert "secret" not in caplog.text

    with caplog.at_level(logging.DEBUG, "spark.graphs"), pytest.raises(ValueError, match="secret"):
        await with_store(broken).run()
    assert "secret" in caplog.text


async def test_a_run_that_waits_and_one_that_is_drained(caplog: pytest.LogCaptureFixture) -> None:
    @node
    async def sleepy(context: NodeContext) -> dict[str, Any]:
        await context.sleep(3600)
        return {}

    graph = with_store(sleepy)
    with caplog.at_level(logging.INFO, "spark.graphs"):
        message = await graph.run(wait=False)
        run = asyncio.create_task(graph.run(resume=True))
        await asyncio.sleep(0)
        graph.drain()
        await run

    assert message.due is not None
    text = "\n".join(lines(caplog))
    assert f"waiting until {message.due.isoformat()}" in text
    assert "drained after 0 steps" in text


async def test_steps_and_checkpoints_are_logged_at_debug_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "spark.graphs"):
        message = await with_store(work).run()

    records = [record for record in caplog.records if record.name == "spark.graphs"]
    assert [record.levelno for record in records] == [
        logging.INFO,
        logging.DEBUG,
        logging.DEBUG,
        logging.DEBUG,
        logging.INFO,
    ]
    fields = [vars(record) for record in records]
    assert {each["graph_id"] for each in fields} == {"shop"}
    assert {each["run_id"] for each in fields} == {message.run_id}
    assert [each["node"] for each in fields] == [None, "work", "work", None, "work"]
    assert fields[3]["checkpoint_id"].startswith("ckpt_shop")
    assert fields[2]["seconds"] >= 0
    assert {"attempt", "iteration"} <= fields[0].keys()
    assert "secret" not in caplog.text


async def test_each_record_of_a_run_has_all_fields(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(CheckpointHandler):
        def on_event(self, event: Event) -> None:
            raise ValueError("no events, please")

        def around(self, activity: Activity) -> AbstractContextManager[None]:
            raise ValueError("no tracing, please")

    @node(retry=Retry(max_attempts=2, initial_interval=0, jitter=False))
    async def flaky(context: NodeContext) -> None:
        if context.attempt == 1:
            raise ValueError
        await context.interrupt("go on?")

    with caplog.at_level(logging.INFO, "spark.graphs"):
        graph = with_store(flaky, handler=Failing())
        message = await graph.run()

    records = [vars(record) for record in caplog.records if record.name == "spark.graphs"]
    told = [each["msg"] for each in records]
    for part in ("attempt", "in around()", "told of an event", "interrupted"):
        assert any(part in each for each in told), part
    assert all(each.get("graph_id") == "shop" for each in records), told
    assert all(
        {"run_id", "node", "attempt", "iteration", "checkpoint_id", "seconds"} <= each.keys() for each in records
    )
    (retried,) = [each for each in records if "attempt" in each["msg"]]
    assert (retried["run_id"], retried["node"], retried["attempt"]) == (message.run_id, "flaky", 1)


async def test_at_info_a_run_does_not_look_at_each_step(caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    @node
    async def look(context: NodeContext) -> dict[str, Any]:
        run = graph._run
        assert run is not None
        seen.append((run.watch is None, run.position.watch is None))
        return {}

    graph = Graph(look)
    await graph.run()
    with caplog.at_level(logging.INFO, "spark.graphs"):
        await graph.run()

    assert seen == [(True, True), (False, True)]


async def test_a_percent_sign_in_a_name_is_no_placeholder(caplog: pytest.LogCaptureFixture) -> None:
    @node(name="100%s")
    async def odd(context: NodeContext) -> None:
        raise ValueError

    with caplog.at_level(logging.DEBUG, "spark.graphs"), pytest.raises(ValueError):
        await Graph(odd, id="50%d").run()
    assert "Graph '50%d': run" in caplog.text
    assert "in node '100%s'" in caplog.text
