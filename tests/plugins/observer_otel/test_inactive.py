"""The observer is active once it is installed, but watches no run before somebody has configured OpenTelemetry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.trace import NoOpTracerProvider

from spark_observer_otel import OpenTelemetryObserver
from tests.support.variants import first_of

PROGRAM = """
import asyncio, sys
from spark.graphs import Graph, node
from spark.graphs.checkpoint import CheckpointConfig

{configure}

@node
async def work(context):
    return {{}}

config = CheckpointConfig.load() if {load} else CheckpointConfig(backend="memory://")
asyncio.run(Graph(work, id="shop", checkpoint_config=config).run())
print(sorted(name for name in sys.modules if name in ("opentelemetry", "spark.graphs.events", "pydantic")))
"""
SET_TRACES = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name + "\\n")))
trace.set_tracer_provider(provider)
"""
SET_METRICS = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
export = ConsoleMetricExporter(formatter=lambda data: "\\n".join(
    metric.name for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics) + "\\n")
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(export)]))
"""


def said(folder: Path, configure: str = "", *, settings: str = "") -> list[str]:
    if settings:
        (folder / "spark.toml").write_text(f"[checkpoint]\nbackend = 'memory'\n{settings}\n")
    code = PROGRAM.format(configure=configure, load=bool(settings))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_where_nobody_uses_opentelemetry_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    assert said(tmp_path) == ["[]"]


@pytest.mark.parametrize("api", first_of(["trace", "metrics"]))
def test_where_a_library_only_uses_the_api_no_run_is_watched(tmp_path: Path, api: str) -> None:
    assert said(tmp_path, f"import opentelemetry.{api}") == ["['opentelemetry']"]


def test_a_program_that_has_configured_traces_needs_no_more(tmp_path: Path) -> None:
    assert said(tmp_path, SET_TRACES)[:-1] == ["step work", "checkpoint", "run"]


def test_a_program_that_has_configured_metrics_needs_no_more(tmp_path: Path) -> None:
    lines = said(tmp_path, SET_METRICS)
    assert {"spark.run.duration", "spark.step.duration", "spark.checkpoint.duration"} <= set(lines)


@pytest.mark.parametrize(
    ("settings", "spans"),
    first_of(
        [
            ("steps = false\ngraphs = ['shop*']", ["checkpoint", "run"]),
            ("enabled = false", []),
            ("graphs = ['orders-*']", []),
        ],
        always=2,
    ),
)
def test_it_can_be_switched_off_and_on_for_some_graphs(tmp_path: Path, settings: str, spans: list[str]) -> None:
    assert said(tmp_path, SET_TRACES, settings=f"[plugins.otel]\n{settings}")[:-1] == spans


def test_a_provider_that_was_given_counts() -> None:
    assert OpenTelemetryObserver(tracer_provider=NoOpTracerProvider()).watches("shop")
    assert not OpenTelemetryObserver().watches("shop")
