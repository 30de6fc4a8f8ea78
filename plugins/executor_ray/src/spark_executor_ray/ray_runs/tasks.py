"""What Ray calls: each function of ``worker`` in the main thread of a process, with an event loop of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from spark_executor_ray.ray_runs import worker
from spark_executor_ray.ray_runs.outcomes import Ended, Refusal
from spark_executor_ray.ray_runs.plan import RunPlan


def store_new(plan: RunPlan, new: Sequence[tuple[str, Mapping[str, Any]]]) -> list[bool | Refusal] | Refusal:
    """Store new runs."""
    return asyncio.run(worker.store_new(plan, new))


def execute(plan: RunPlan, graph_id: str) -> Ended:
    """Execute a run. Interrupted as by Ctrl-C, it stops, and can be resumed from its latest checkpoint."""
    with _heard_interrupts():
        return asyncio.run(worker.execute(plan, graph_id))


def end(plan: RunPlan, graph_id: str, how: worker.Ending) -> Ended:
    """End a run that nobody executes."""
    return asyncio.run(worker.end(plan, graph_id, how))


@contextmanager
def _heard_interrupts() -> Iterator[None]:
    """Within it, ``ray.cancel`` interrupts. Where Ray was started in the background, its workers ignore that otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
