"""The fields of the log records of a run, for formatters and for JSON."""

from __future__ import annotations

from typing import Any


def log_fields(
    graph_id: str,
    *,
    run_id: str | None = None,
    iteration: int | None = None,
    node: str | None = None,
    attempt: int | None = None,
    checkpoint_id: str | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """All of them, for ``extra``: a formatter that names one must find it in each record. None where it does not apply."""
    return {
        "graph_id": graph_id,
        "run_id": run_id,
        "iteration": iteration,
        "node": node,
        "attempt": attempt,
        "checkpoint_id": checkpoint_id,
        "seconds": seconds,
    }
