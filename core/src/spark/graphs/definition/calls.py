"""Durable calls: the result of a function is recorded, and a step that is repeated gets it back without another call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from spark.graphs.concurrency.blocking import run_blocking
from spark.graphs.definition.step_journal import StepJournal
from spark.graphs.values.snapshots import snapshot

KIND = "call"


async def call(journal: StepJournal, key: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result of the call, as the caller's own copy."""
    name = journal.next_key(KIND, key)
    entry = journal.entry(name)
    if entry is None:
        async with journal.call_under_way():
            if inspect.iscoroutinefunction(function):
                value = await function(*args, **kwargs)
            else:
                value = await run_blocking(copy_context().run, lambda: function(*args, **kwargs))
            entry = await journal.record(name, {"value": value})
    return snapshot(entry["value"])
