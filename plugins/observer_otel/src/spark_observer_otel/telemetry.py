"""What is done around an activity: a span, which is the current one meanwhile, and measurements."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextvars import ContextVar, Token
from importlib.metadata import version
from typing import Final, Self

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
    get_current_span,
    get_tracer_provider,
    set_span_in_context,
)

from spark.graphs.events import Activity
from spark_observer_otel.attributes import exception_of, known_at_end, known_at_start, name_of, type_of
from spark_observer_otel.carrier import first_run, store
from spark_observer_otel.elsewhere import send_along
from spark_observer_otel.measurements import Measurements

_SCOPE: Final = "spark_observer_otel"
_ENTERED: Final[ContextVar[object]] = ContextVar("spark_observer_otel", default=None)


class Telemetry:
    """Makes the spans and measurements of all runs.

    :param tracer_provider: None for the global one.
    :param meter_provider: None for the global one.
    :param spans: the kinds of activities that have spans.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        *,
        spans: Collection[str],
        record_exceptions: bool,
        continue_trace: bool,
    ) -> None:
        release = version("spark-graphs-observer-otel")
        self.tracer: Final[Tracer] = (tracer_provider or get_tracer_provider()).get_tracer(_SCOPE, release)
        self.measurements: Final = Measurements((meter_provider or get_meter_provider()).get_meter(_SCOPE, release))
        self.record_exceptions: Final = record_exceptions
        self.continue_trace: Final = continue_trace
        self._spans = spans

    def around(self, activity: Activity) -> Around:
        """Enter it when the activity begins, and exit it when it has ended."""
        return (_AroundSpan if activity.kind in self._spans else Around)(self, activity)


class Around:
    """Measures an activity."""

    __slots__ = ("_activity", "_began", "_telemetry")

    def __init__(self, telemetry: Telemetry, activity: Activity) -> None:
        self._telemetry = telemetry
        self._activity = activity
        self._began = 0.0

    def __enter__(self) -> Self:
        self._telemetry.measurements.begin(self._activity)
        send_along(self._activity)
        self._began = time.perf_counter()
        return self

    def __exit__(self, *raised: object) -> None:
        self._telemetry.measurements.end(self._activity, seconds=time.perf_counter() - self._began)


class _AroundSpan(Around):
    """Also makes a span, and makes it the current one."""

    __slots__ = ("_mark", "_span", "_token")

    _span: Span
    _mark: Token[object]
    _token: Token[Context]

    def __enter__(self) -> Self:
        super().__enter__()
        self._span = self._start()
        self._mark = _ENTERED.set(self)
        self._token = attach(set_span_in_context(self._span))
        send_along(self._activity)
        return self

    def __exit__(self, *raised: object) -> None:
        try:
            super().__exit__()  # within the span, of which it may keep an example
        finally:
            try:
                self._leave()
            finally:
                self._end()

    def _start(self) -> Span:
        activity, tracer = self._activity, self._telemetry.tracer
        name, attributes = name_of(activity), known_at_start(activity)
        if activity.kind != "run":
            return tracer.start_span(name, attributes=attributes)
        first = first_run(activity.carrier)
        parent, others = self._place(first)
        span = tracer.start_span(name, parent, attributes=attributes, links=[Link(other) for other in others])
        if not first.is_valid:
            store(activity.carrier, span)
        return span

    def _place(self, first: SpanContext) -> tuple[Context, list[SpanContext]]:
        """The context in which the span of a run is made, and the spans that it is linked to.

        :param first: the span of the first run; an invalid one if there is none.
        """
        if not first.is_valid:
            return get_current(), []
        if not self._telemetry.continue_trace:
            return get_current(), [first]
        caller = get_current_span().get_span_context()
        return set_span_in_context(NonRecordingSpan(first)), [caller] if caller.is_valid else []

    def _leave(self) -> None:
        """The span is the current one no longer."""
        try:
            _ENTERED.reset(self._mark)
        except ValueError:  # the garbage collector closes a run in another context, where it never was
            return
        detach(self._token)

    def _end(self) -> None:
        span, activity = self._span, self._activity
        try:
            if span.is_recording():
                span.set_attributes(known_at_end(activity))
                if activity.outcome == "failed":
                    self._fail(span, activity.error)
        finally:
            span.end()

    def _fail(self, span: Span, error: BaseException | None) -> None:
        span.set_status(Status(StatusCode.ERROR, type_of(error)))
        if error is not None and self._telemetry.record_exceptions:
            span.add_event("exception", exception_of(error))
