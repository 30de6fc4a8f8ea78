"""Waiting for a time: a step is suspended until then, and no process has to stay alive meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from spark.graphs.definition.step_journal import StepJournal
from spark.graphs.state.journal import is_open

KIND = "sleep"


async def sleep(journal: StepJournal, duration: timedelta) -> None:
    """Suspend the step for so long, counted from the first time that it comes here."""
    await sleep_until(journal, journal.now() + duration)


async def sleep_until(journal: StepJournal, moment: datetime) -> None:
    """Suspend the step until this moment, or rather until the one that was given the first time that it came here."""
    name, now = journal.next_key(KIND, ""), journal.now()
    entry = journal.entry(name)
    if entry is None and moment > now:
        entry = {"due": moment.astimezone(UTC).isoformat(), "since": now.isoformat()}
    if entry is not None and is_open(entry):
        await journal.wait(name, entry)
