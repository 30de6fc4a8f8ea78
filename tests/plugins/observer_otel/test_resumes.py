"""A run that is resumed is linked to the span of the first run, which is stored with it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from spark.graphs import Graph, Node, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.events import Activity
from spark_observer_otel import OpenTelemetryObserver
from tests.plugins.observer_otel.conftest import Telemetry


@node
async def ask(context: NodeContext) -> dict[str, Any]:
    first = await context.interrupt("sure?", key="a")
    return {"answer": first + await context.interrupt("really?", key="b")}


def graph_with(config: CheckpointConfig) -> Graph:
    return Graph(ask, id="ask", checkpoint_config=config)


def of(span: ReadableSpan) -> SpanContext:
    context: SpanContext | None = span.context
    assert context is not None
    return context


async def three_runs(telemetry: Telemetry, **options: Any) -> list[ReadableSpan]:
    """Each with an observer of its own; the second and the third are resumed."""
    backend = InMemoryCheckpointBackend()
    message = await graph_with(telemetry.config(backend, **options)).run()
    for _ in range(2):
        answers = {interrupt.id: "yes" for interrupt in message.interrupts}
        with telemetry.tracers.get_tracer("app").start_as_current_span("answer"):
            message = await graph_with(telemetry.config(backend, **options)).run(resume=answers)
    assert message.status == "completed"
    return telemetry.named("run")


async def test_each_resumed_run_is_linked_to_the_first(telemetry: Telemetry) -> None:
    first, second, third = await three_runs(telemetry)

    assert first.links == ()
    for resumed in (second, third):
        [link] = resumed.links
        assert (link.context.trace_id, link.context.span_id) == (of(first).trace_id, of(first).span_id)
        assert of(resumed).trace_id != of(first).trace_id
        assert telemetry.path(resumed) == ["answer", "run"]
        assert str((resumed.attributes or {})["spark.resumed_from"]).startswith("ckpt_ask_")


async def test_a_resumed_run_can_continue_the_trace_of_the_first(telemetry: Telemetry) -> None:
    first, second, third = await three_runs(telemetry, continue_trace=True)

    for resumed, answer in zip((second, third), telemetry.named("answer"), strict=True):
        assert of(resumed).trace_id == of(first).trace_id
        assert telemetry.path(resumed) == ["run", "run"]
        [link] = resumed.links
        assert link.context == of(answer)


async def test_what_is_stored_is_the_traceparent_alone(telemetry: Telemetry) -> None:
    backend = InMemoryCheckpointBackend()
    token = context.attach(baggage.set_baggage("user", "ada"))
    await graph_with(telemetry.config(backend)).run()
    context.detach(token)
    [info] = await CheckpointManager(backend).list_checkpoints("ask", limit=1)
    stored = (await CheckpointManager(backend).load_checkpoint(info.checkpoint_id)).config["carrier"]

    run = of(telemetry.the("run"))
    assert stored == {"traceparent": f"00-{run.trace_id:032x}-{run.span_id:016x}-{run.trace_flags:02x}"}


PROGRAM = """
import asyncio, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from spark.graphs import Graph, node
from spark.graphs.checkpoint import CheckpointConfig

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

@node
async def ask(context):
    return {"answer": await context.interrupt("sure?", key="a")}

async def main():
    graph = Graph(ask, id="ask", checkpoint_config=CheckpointConfig(backend=sys.argv[1]))
    if sys.argv[2] == "begin":
        return await graph.run()
    checkpoint = await graph.run(resume=True)
    return await graph.run(resume={checkpoint.interrupts[0].id: "yes"})

asyncio.run(main())
for span in exporter.get_finished_spans():
    if span.name == "run":
        contexts = [span.context, *(link.context for link in span.links)]
        print(*(f"{each.trace_id} {each.span_id}" for each in contexts))
"""


def test_in_another_process_which_installed_the_observer_and_did_nothing_else(tmp_path: Path) -> None:
    def runs(what: str) -> list[list[str]]:
        command = [sys.executable, "-c", PROGRAM, f"file://{tmp_path}/runs", what]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return [line.split() for line in done.stdout.splitlines()]

    [first] = runs("begin")
    resumed = runs("resume")

    assert len(first) == 2
    assert [links for *_, trace, span in resumed for links in [[trace, span]]] == [first, first]
    assert all(own[0] != first[0] for own in resumed)


HOSTILE: dict[str, dict[str, str]] = {
    "not hexadecimal": {"traceparent": "00-" + "g" * 32 + "-" + "g" * 16 + "-01"},
    "empty": {"traceparent": ""},
    "all zeros": {"traceparent": f"00-{0:032x}-{0:016x}-01"},
    "long": {"traceparent": "0" * 100_000, "tracestate": "a=b," * 10_000},
    "surrogates": {"traceparent": "\0🙈", "tracestate": "\0", "baggage": "x=\0"},
    "half of it": {"traceparent": "", "tracestate": "a=b"},
    "of another tracer": {"dd": "7"},
}


class Plants(CheckpointHandler):
    """Stores this with the run."""

    def __init__(self, carrier: Mapping[str, str]) -> None:
        self.carrier = carrier

    def around(self, activity: Activity) -> Any:
        if activity.kind == "run":
            activity.carrier.update(self.carrier)
        return super().around(activity)


@pytest.mark.parametrize("carrier", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("continue_trace", [True, False])
async def test_what_is_stored_may_be_broken(
    telemetry: Telemetry, carrier: dict[str, str], continue_trace: bool, caplog: pytest.LogCaptureFixture
) -> None:
    backend = InMemoryCheckpointBackend()
    message = await graph_with(CheckpointConfig(backend=backend, handler=Plants(carrier))).run()
    for _ in range(2):
        config = telemetry.config(backend, continue_trace=continue_trace)
        with telemetry.tracers.get_tracer("app").start_as_current_span("caller"):
            message = await graph_with(config).run(resume={interrupt.id: "yes" for interrupt in message.interrupts})

    first, second = telemetry.named("run")
    assert message.status == "completed"
    assert first.links == ()
    # It is the first that is known.
    before = second.parent if continue_trace else second.links[0].context
    assert before is not None
    assert (before.span_id, dict(before.trace_state)) == (of(first).span_id, {})
    assert not [record for record in caplog.records if record.name.startswith("spark")]


async def test_a_propagator_that_raises_harms_nothing(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(CompositePropagator):
        def extract(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("broken")

        inject = extract

    backend = InMemoryCheckpointBackend()
    message = await graph_with(CheckpointConfig(backend=backend, handler=Plants({"traceparent": "x"}))).run()
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(Broken([]))
    try:
        await graph_with(telemetry.config(backend)).run(resume={message.interrupts[0].id: "yes"})
    finally:
        propagate.set_global_textmap(before)

    assert telemetry.the("run").links == ()
    assert {record.name for record in caplog.records} == {"spark_observer_otel"}


async def test_a_run_that_was_not_sampled_is_resumed(telemetry: Telemetry) -> None:
    backend = InMemoryCheckpointBackend()
    unsampled = trace.NoOpTracerProvider()
    config = CheckpointConfig(backend=backend, handler=OpenTelemetryObserver(tracer_provider=unsampled))
    message = await graph_with(config).run()
    await graph_with(telemetry.config(backend)).run(resume={message.interrupts[0].id: "yes"})

    assert telemetry.the("run").links == ()


async def test_a_resumed_run_runs_its_steps_in_its_own_span(telemetry: Telemetry) -> None:
    class Two(Node):
        async def process(self, context: NodeContext) -> Any:
            await asyncio.sleep(0)
            return {"answer": await context.interrupt("sure?")}

    backend = InMemoryCheckpointBackend()
    message = await Graph(Two(), id="two", checkpoint_config=telemetry.config(backend)).run()
    graph = Graph(Two(), id="two", checkpoint_config=telemetry.config(backend))
    await graph.run(resume={message.interrupts[0].id: "yes"})

    parents = [step.parent.span_id for step in telemetry.named("step Two") if step.parent is not None]
    assert parents == [of(run).span_id for run in telemetry.named("run")]
