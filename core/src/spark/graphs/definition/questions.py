"""Asking a person: a step waits for the answer, which may be given days later and by another process."""

from __future__ import annotations

from typing import Any

from spark.graphs.definition.step_journal import StepJournal
from spark.graphs.state.journal import is_open
from spark.graphs.values.snapshots import snapshot

KIND = "interrupt"


async def ask(journal: StepJournal, payload: Any, *, key: str | None) -> Any:
    """The answer to a question, as the caller's own copy. Without one, the step is suspended."""
    name = journal.next_key(KIND, key or "")
    entry = journal.entry(name)
    if entry is None:
        path = f"the payload of an interrupt of node {journal.step.node!r}"
        entry = {
            "id": f"{journal.step.token.lineage:x}-{name.partition(':')[2]}",
            "payload": snapshot(payload, path=path, check=journal.step.scope.state.check),
            "since": journal.now().isoformat(),
        }
    if is_open(entry):
        await journal.wait(name, entry)
    return snapshot(entry["value"])
