"""What the observer has made: spans and measurements, kept in memory by OpenTelemetry's own SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark_observer_otel import OpenTelemetryObserver


class Telemetry:
    """Providers, and what they were given."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def observer(self, **options: Any) -> OpenTelemetryObserver:
        return OpenTelemetryObserver(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    def config(self, backend: Any = None, **options: Any) -> CheckpointConfig:
        return CheckpointConfig(
            backend=backend or InMemoryCheckpointBackend(), trigger_on_iteration=1, handler=self.observer(**options)
        )

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def the(self, name: str) -> ReadableSpan:
        [span] = self.named(name)
        return span

    def path(self, span: ReadableSpan) -> list[str]:
        """Its name, after those of the spans around it."""
        by_id = {each.context.span_id: each for each in self.spans if each.context is not None}
        around = by_id.get(span.parent.span_id) if span.parent is not None else None
        return [*(self.path(around) if around is not None else []), span.name]

    def paths(self) -> list[str]:
        return ["/".join(self.path(span)) for span in self.spans]

    def measured(self, name: str) -> list[Any]:
        """The data points of an instrument."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def units(self) -> dict[str, str | None]:
        data = self._reader.get_metrics_data()
        assert data is not None
        [resource] = data.resource_metrics
        return {metric.name: metric.unit for scope in resource.scope_metrics for metric in scope.metrics}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()
