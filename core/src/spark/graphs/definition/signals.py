"""Waiting for a message that is sent from outside: a step waits for it, for days if need be, and without a process."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any, Final

from spark.errors import RunError, SignalTimeoutError
from spark.graphs.definition.step_journal import StepJournal
from spark.graphs.definition.timers import end_of, length_of
from spark.graphs.state.journal import SIGNAL, Entry, checked_signal, is_open
from spark.graphs.state.updates import MISSING
from spark.graphs.values.snapshots import snapshot

_CALL: Final = "context.wait_for(timeout={!r})"


async def wait_for(
    journal: StepJournal,
    name: str,
    *,
    timeout: timedelta | float | None,  # noqa: ASYNC109 - it may be days, and outlive the process
    default: Any,
) -> Any:
    """The value of the next message with this name, as the caller's own copy; after the timeout, the default.

    :raises SignalTimeoutError: it took longer, and there is no default.
    """
    key = journal.next_key(SIGNAL, checked_signal(name))
    entry = journal.entry(key)
    if entry is None:
        entry = _new_entry(journal, name, timeout)
    if is_open(entry):
        await journal.wait(key, entry)
    if "value" in entry:
        return snapshot(entry["value"])
    if default is MISSING:
        raise SignalTimeoutError(
            f"No signal {name!r} came to node {journal.step.node!r} of graph {journal.step.scope.graph_id!r} within the "
            "timeout. To continue without it, catch this error, or give wait_for a default=."
        )
    return default


def _new_entry(journal: StepJournal, name: str, timeout: timedelta | float | None) -> Entry:
    scope, now = journal.step.scope, journal.now()
    if timeout is not None:
        due = end_of(length_of(timeout, call=_CALL), now, call=_CALL)
        return {"signal": name, "since": now.isoformat(), "due": due.astimezone(UTC).isoformat()}
    if not scope.has_inbox:
        raise RunError(
            f"Node {journal.step.node!r} waits for the signal {name!r}, but none can reach graph {scope.graph_id!r}, because it "
            "makes no checkpoints: give Graph a checkpoint_config with a backend, or give wait_for a timeout."
        )
    return {"signal": name, "since": now.isoformat()}
