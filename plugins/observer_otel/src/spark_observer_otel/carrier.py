"""The span of the first run, stored with the run for whoever resumes it."""

from __future__ import annotations

import logging
from typing import Final

from opentelemetry.context import Context
from opentelemetry.propagate import extract, get_global_textmap, inject
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Span, SpanContext, get_current_span, set_span_in_context

_LOG: Final = logging.getLogger("spark_observer_otel")


def first_run(carrier: dict[str, str]) -> SpanContext:
    """The span of the first run; an invalid one if there is none, or what is stored is broken."""
    if not carrier:
        return INVALID_SPAN_CONTEXT
    try:
        return get_current_span(extract(carrier, Context())).get_span_context()
    except Exception:
        _LOG.warning(
            "The trace of the first run can't be read from the checkpoint; the run is not linked to it.", exc_info=True
        )
        return INVALID_SPAN_CONTEXT


def store(carrier: dict[str, str], span: Span) -> None:
    """Put this span there, as the configured propagator writes it, and nothing else of the context, such as baggage."""
    try:
        own: dict[str, str] = {}
        inject(own, set_span_in_context(span, Context()))
        for field in get_global_textmap().fields:
            carrier.pop(field, None)
        carrier.update(own)
    except Exception:
        _LOG.warning("The trace can't be stored with the run; whoever resumes it is not linked to it.", exc_info=True)
