"""What exporters, texts, contexts and processes do harms no run, and loses no more than must be."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult

from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.events import Activity
from spark_observer_otel import OpenTelemetryObserver
from tests.plugins.observer_otel.conftest import Telemetry


@node
async def work(context: NodeContext) -> dict[str, Any]:
    return {"paid": await context.run("charge", lambda: 1)}


async def run_with(processor: SpanProcessor) -> Any:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    observer = OpenTelemetryObserver(tracer_provider=provider)
    config = CheckpointConfig(backend=InMemoryCheckpointBackend(), handler=observer, handler_errors="raise")
    message = await Graph(work, checkpoint_config=config).run()
    assert trace.get_current_span() is trace.INVALID_SPAN
    return message.content


class Exporter(SpanExporter):
    """Raises, or hangs until it is let go."""

    def __init__(self, let_go: threading.Event | None = None) -> None:
        self.let_go = let_go
        self.called = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.called.set()
        if self.let_go is None:
            raise RuntimeError("the collector is gone")
        self.let_go.wait()
        return SpanExportResult.SUCCESS


async def test_an_exporter_that_raises() -> None:
    exporter = Exporter()
    assert await run_with(SimpleSpanProcessor(exporter)) == {"paid": 1}
    assert exporter.called.is_set()


async def test_an_exporter_that_hangs() -> None:
    exporter = Exporter(threading.Event())
    assert exporter.let_go is not None
    processor = BatchSpanProcessor(exporter, max_export_batch_size=1, schedule_delay_millis=1)
    assert await run_with(processor) == {"paid": 1}
    assert exporter.called.wait(60)
    exporter.let_go.set()
    processor.shutdown()  # type: ignore[no-untyped-call]


class Raises(SpanProcessor):
    def __init__(self, where: str) -> None:
        self.where = where

    def on_start(self, *args: Any, **kwargs: Any) -> None:
        if self.where == "start":
            raise RuntimeError("broken")

    def on_end(self, *args: Any, **kwargs: Any) -> None:
        if self.where == "end":
            raise RuntimeError("broken")


@pytest.mark.parametrize("where", ["start", "end"])
async def test_a_span_processor_that_raises(where: str, caplog: pytest.LogCaptureFixture) -> None:
    assert await run_with(Raises(where)) == {"paid": 1}
    assert len([record for record in caplog.records if "around" in record.getMessage()]) == 1


async def test_texts_that_no_exporter_could_write_are_mended(telemetry: Telemetry) -> None:
    @node
    async def fails(context: NodeContext) -> dict[str, Any]:
        raise ValueError("\0\ud800 🙈")

    with pytest.raises(ValueError):
        await Graph(fails, id="graph é", checkpoint_config=telemetry.config()).run()
    activity = Activity(kind="step", name="\ud800", graph_id="\ud800", run_id="\ud800", iteration=0, node="a\ud800")
    with telemetry.observer().around(activity):
        pass

    for span in telemetry.spans:
        span.name.encode()
        values = [*(span.attributes or {}).values(), *(v for e in span.events for v in (e.attributes or {}).values())]
        "".join(map(str, values)).encode()
    assert telemetry.named("step a?")
    assert telemetry.the("step fails").events[0].attributes == {
        "exception.type": "ValueError",
        "exception.message": "\0? 🙈",
        "exception.stacktrace": (telemetry.the("step fails").events[0].attributes or {})["exception.stacktrace"],
    }


async def test_an_error_without_a_readable_message(telemetry: Telemetry) -> None:
    class UnreadableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no message")

    activity = Activity(kind="step", name="work", graph_id="shop", run_id="0a", iteration=0, node="work", attempt=1)
    with telemetry.observer().around(activity):
        activity.outcome, activity.error = "failed", UnreadableError()

    [event] = telemetry.the("step work").events
    assert (event.attributes or {})["exception.message"] == "its message can't be shown"


class TestAnotherContext:
    """The garbage collector closes what was left in whatever context it runs in."""

    @pytest.mark.parametrize("is_copy", [True, False])
    def test_an_activity_that_is_left_there(
        self, telemetry: Telemetry, caplog: pytest.LogCaptureFixture, is_copy: bool
    ) -> None:
        activity = Activity(kind="step", name="work", graph_id="shop", run_id="0a", iteration=0, node="work", attempt=1)
        inside = contextvars.copy_context()
        around = telemetry.observer().around(activity)
        inside.run(around.__enter__)
        outside = inside.copy() if is_copy else contextvars.copy_context()
        outside.run(around.__exit__, None, None, None)

        assert caplog.records == []
        assert telemetry.the("step work").end_time is not None
        assert telemetry.measured("spark.step.active")[0].value == 0

    def test_a_run_whose_loop_has_gone(self, telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
        loop = asyncio.new_event_loop()
        begun = asyncio.Event()

        @node
        async def waits(context: NodeContext) -> dict[str, Any]:
            begun.set()
            await asyncio.Event().wait()
            return {}

        async def begin() -> None:
            await begun.wait()

        with caplog.at_level(logging.CRITICAL, logger="asyncio"):  # it says that tasks are destroyed
            task = loop.create_task(Graph(waits, checkpoint_config=telemetry.config()).run())
            loop.run_until_complete(begin())
            loop.close()
            del task
            gc.collect()

        assert telemetry.named("step waits")
        assert not [record for record in caplog.records if "detach" in record.getMessage()]


FORKS = """
import asyncio, os
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
async def work(context):
    return {}

def run():
    exporter.clear()
    asyncio.run(Graph(work, id="shop", checkpoint_config=CheckpointConfig(backend="memory://")).run())
    print(*sorted({span.name for span in exporter.get_finished_spans()}), sep=", ", flush=True)

run()
if (child := os.fork()) == 0:
    run()
    os._exit(0)
os.waitpid(child, 0)
run()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_that_forks() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["checkpoint, run, step work"] * 3
