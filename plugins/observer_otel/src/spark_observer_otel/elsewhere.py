"""The span of a step or durable call, for the worker of an executor: spans that are made there belong to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import attach, detach
from opentelemetry.propagate import extract
from opentelemetry.trace import get_current_span

from spark.graphs.events import Activity
from spark_observer_otel.carrier import store

_CONTINUED: Final = f"{__name__}:continued"


def send_along(activity: Activity) -> None:
    """If an activity takes place elsewhere, have the current span be the current one there as well."""
    if activity.elsewhere is not None and get_current_span().get_span_context().is_valid:
        texts = activity.elsewhere[_CONTINUED] = {}
        store(texts, get_current_span())


@contextmanager
def continued(texts: Mapping[str, str]) -> Iterator[None]:
    """In the worker: what was sent along is the current span."""
    token = attach(extract(texts))
    try:
        yield
    finally:
        detach(token)
