"""The observer, which leaves OpenTelemetry alone until somebody has configured it."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spark.graphs.checkpoint import CheckpointHandler

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from spark.graphs.events import Activity
    from spark_observer_otel.telemetry import Telemetry


class OpenTelemetryObserver(CheckpointHandler):
    """Traces and measures runs, steps, durable calls and checkpoints.

    Without providers, the global ones are used. A run that begins before one is set is not watched, and costs nothing more.

    :param tracer_provider: makes the spans.
    :param meter_provider: makes the instruments.
    :param steps: whether steps have spans.
    :param calls: whether durable calls have spans.
    :param checkpoints: whether checkpoints have spans.
    :param record_exceptions: whether spans of what failed have the message and the stack of the error; without that, they have
        only its type. Messages may hold values of your program.
    :param continue_trace: whether a run that is resumed is continued in the trace of the first run. Otherwise its span belongs to
        the trace of whoever resumes it, and is linked to the span of the first run.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        steps: bool = True,
        calls: bool = True,
        checkpoints: bool = True,
        record_exceptions: bool = True,
        continue_trace: bool = False,
    ) -> None:
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        kinds = {"run": True, "step": steps, "call": calls, "checkpoint": checkpoints}
        self._spans = frozenset(kind for kind, wanted in kinds.items() if wanted)
        self._record_exceptions = record_exceptions
        self._continue_trace = continue_trace

    def watches(self, graph_id: str) -> bool:
        """Whether a provider was given, or is set for the process."""
        if self._tracer_provider is not None or self._meter_provider is not None:
            return True
        return any(map(_is_set, ("trace", "metrics")))

    def around(self, activity: Activity) -> AbstractContextManager[Any]:
        """A span around the activity, and measurements of it."""
        return self._telemetry.around(activity)

    @cached_property
    def _telemetry(self) -> Telemetry:
        from spark_observer_otel.telemetry import Telemetry  # imports OpenTelemetry

        return Telemetry(
            self._tracer_provider,
            self._meter_provider,
            spans=self._spans,
            record_exceptions=self._record_exceptions,
            continue_trace=self._continue_trace,
        )


def _is_set(signal: str) -> bool:
    """Whether the process has a provider for traces or metrics, other than those of the API, which do nothing."""
    api = sys.modules.get(f"opentelemetry.{signal}")
    if api is None:  # so nobody can have set one
        return False
    provider = api.get_tracer_provider() if signal == "trace" else api.get_meter_provider()
    return not type(provider).__module__.startswith(f"opentelemetry.{signal}")
