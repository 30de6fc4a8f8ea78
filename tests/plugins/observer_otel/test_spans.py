"""Spans of runs, steps, durable calls and checkpoints: names, attributes, and what is within what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace

from spark.graphs import Graph, Node, NodeContext, Task, node
from tests.plugins.observer_otel.conftest import Telemetry


async def test_a_run_holds_its_steps_and_a_step_its_calls(telemetry: Telemetry) -> None:
    @node
    async def pay(context: NodeContext) -> dict[str, Any]:
        return {"paid": await context.run("charge order 7", lambda: 1)}

    await Graph(pay, id="shop", checkpoint_config=telemetry.config()).run()

    assert telemetry.paths() == [
        "run/step pay/checkpoint",
        "run/step pay/call pay",
        "run/step pay/checkpoint",
        "run/step pay",
        "run/checkpoint",
        "run",
    ]


async def test_what_spans_say(telemetry: Telemetry) -> None:
    @node
    async def pay(context: NodeContext) -> dict[str, Any]:
        return {"key": context.idempotency_key, "paid": await context.run("charge", lambda: 1)}

    message = await Graph(pay, id="shop", checkpoint_config=telemetry.config()).run()
    run, step, call = telemetry.the("run"), telemetry.the("step pay"), telemetry.the("call pay")
    assert run.attributes is not None
    run_id = run.attributes["spark.run_id"]

    assert dict(run.attributes) == {
        "spark.graph_id": "shop",
        "spark.run_id": run_id,
        "spark.iteration": 0,
        "spark.outcome": "completed",
    }
    of_step = {
        "spark.graph_id": "shop",
        "spark.run_id": run_id,
        "spark.iteration": 0,
        "spark.node": "pay",
        "spark.attempt": 1,
        "spark.idempotency_key": message.content["key"],
        "spark.outcome": "finished",
    }
    assert dict(step.attributes or {}) == of_step
    assert dict(call.attributes or {}) == of_step | {"spark.call.key": "charge"}
    last = dict(telemetry.named("checkpoint")[-1].attributes or {})
    assert last == {
        "spark.graph_id": "shop",
        "spark.run_id": run_id,
        "spark.iteration": 1,
        "spark.checkpoint.reason": "completed",
        "spark.checkpoint.id": "ckpt_shop_000003",
        "spark.checkpoint.sequence": 3,
        "spark.outcome": "finished",
    }
    assert {span.kind for span in telemetry.spans} == {trace.SpanKind.INTERNAL}


class TestTheCaller:
    async def test_has_the_run_in_its_span(self, telemetry: Telemetry) -> None:
        @node
        async def work(context: NodeContext) -> dict[str, Any]:
            return {}

        with telemetry.tracers.get_tracer("app").start_as_current_span("request") as request:
            await Graph(work, checkpoint_config=telemetry.config()).run()
            assert trace.get_current_span() is request

        assert "request/run/step work" in telemetry.paths()

    async def test_has_the_run_of_a_stream_in_its_span(self, telemetry: Telemetry) -> None:
        @node
        async def work(context: NodeContext) -> dict[str, Any]:
            return {}

        graph = Graph(work, checkpoint_config=telemetry.config())
        with telemetry.tracers.get_tracer("app").start_as_current_span("request"):
            assert [event async for event in graph.stream()]

        assert "request/run/step work" in telemetry.paths()


class TestTheCodeOfANode:
    """What it traces itself is within the span of its step."""

    async def test_that_is_async(self, telemetry: Telemetry) -> None:
        tracer = telemetry.tracers.get_tracer("app")

        async def part(name: str) -> None:
            await asyncio.sleep(0)
            with tracer.start_as_current_span(name):
                await asyncio.sleep(0)

        @node
        async def work(context: NodeContext) -> dict[str, Any]:
            await asyncio.gather(part("one"), part("two"))
            return {}

        await Graph(work, checkpoint_config=telemetry.config()).run()
        assert {"run/step work/one", "run/step work/two"} <= set(telemetry.paths())

    async def test_that_is_plain_and_runs_in_a_thread(self, telemetry: Telemetry) -> None:
        @node
        def work(context: NodeContext) -> dict[str, Any]:
            with telemetry.tracers.get_tracer("app").start_as_current_span("mine"):
                return {}

        await Graph(work, checkpoint_config=telemetry.config()).run()
        assert "run/step work/mine" in telemetry.paths()

    async def test_in_durable_calls_made_together(self, telemetry: Telemetry) -> None:
        tracer = telemetry.tracers.get_tracer("app")

        def plain() -> None:
            tracer.start_span("plain").end()

        async def other() -> None:
            await asyncio.sleep(0)
            tracer.start_span("async").end()

        @node
        async def work(context: NodeContext) -> dict[str, Any]:
            await asyncio.gather(context.run("a", plain), context.run("b", other))
            tracer.start_span("after").end()
            return {}

        await Graph(work, checkpoint_config=telemetry.config()).run()
        expected = {"run/step work/call work/plain", "run/step work/call work/async", "run/step work/after"}
        assert expected <= set(telemetry.paths())
        calls = {str((call.attributes or {})["spark.call.key"]): call for call in telemetry.named("call work")}
        inner = {name: telemetry.the(name).parent for name in ("plain", "async")}
        assert inner == {"plain": calls["a"].context, "async": calls["b"].context}

    async def test_in_parallel_branches(self, telemetry: Telemetry) -> None:
        tracer = telemetry.tracers.get_tracer("app")

        class Branch(Node):
            async def process(self, context: NodeContext) -> Any:
                await asyncio.sleep(0)
                with tracer.start_as_current_span(f"in {self.name}"):
                    await asyncio.sleep(0)
                return {}

        first = Branch(name="first")
        for key in ("a", "b", "c"):
            first >> Branch(name=key)
        await Graph(first, checkpoint_config=telemetry.config()).run()

        assert {f"run/step {key}/in {key}" for key in ("first", "a", "b", "c")} <= set(telemetry.paths())

    async def test_in_each_item_of_a_map(self, telemetry: Telemetry) -> None:
        @node
        async def items(context: NodeContext) -> dict[str, Any]:
            return {"items": [10, 11, 12]}

        @node
        async def each(context: NodeContext) -> dict[str, Any]:
            await asyncio.sleep(0)
            span = telemetry.tracers.get_tracer("app").start_span("mine", attributes={"index": context.index or 0})
            span.end()
            return {}

        items.each("items") >> each
        await Graph(items, checkpoint_config=telemetry.config()).run()
        steps = {
            step.context.span_id: (step.attributes or {})["spark.map.index"]
            for step in telemetry.named("step each")
            if step.context is not None
        }

        assert sorted(map(str, steps.values())) == ["0", "1", "2"]
        for mine in telemetry.named("mine"):
            assert mine.parent is not None
            assert steps[mine.parent.span_id] == (mine.attributes or {})["index"]


async def test_a_graph_that_a_node_runs_is_within_its_step(telemetry: Telemetry) -> None:
    @node
    async def inner(context: NodeContext) -> dict[str, Any]:
        return {}

    @node
    async def outer(context: NodeContext) -> dict[str, Any]:
        await Graph(inner, id="inner", checkpoint_config=telemetry.config()).run()
        return {}

    await Graph(outer, id="outer", checkpoint_config=telemetry.config()).run()
    assert "run/step outer/run/step inner" in telemetry.paths()


@pytest.mark.parametrize("left_out", ["steps", "calls", "checkpoints"])
async def test_spans_can_be_left_out(telemetry: Telemetry, left_out: str) -> None:
    @node
    async def pay(context: NodeContext) -> dict[str, Any]:
        return {"paid": await context.run("charge", lambda: 1)}

    await Graph(pay, checkpoint_config=telemetry.config(**{left_out: False})).run(Task())
    kinds = {span.name.split()[0] for span in telemetry.spans}

    assert kinds == {"run", "step", "call", "checkpoint"} - {left_out.removesuffix("s")}
    assert telemetry.measured(f"spark.{left_out.removesuffix('s')}.duration"), (
        "What has no spans is measured all the same."
    )
