"""Waiting for a time: a step is suspended until then, and no process has to stay alive meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from spark.graphs.definition.step_journal import StepJournal
from spark.graphs.state.journal import SLEEP, is_open


async def sleep(journal: StepJournal, duration: timedelta | float) -> None:
    """Suspend the step for so long, counted from the first time that it comes here."""
    length = length_of(duration)
    await _wait(journal, lambda now: end_of(length, now))


async def sleep_until(journal: StepJournal, moment: datetime) -> None:
    """Suspend the step until this moment, or rather until the one that was given the first time that it came here."""
    until = _in_utc(moment)
    await _wait(journal, lambda now: until)


async def _wait(journal: StepJournal, until: Callable[[datetime], datetime]) -> None:
    name = journal.next_key(SLEEP, "")
    entry = journal.entry(name)
    if entry is None:
        now = journal.now()
        moment = until(now)
        if moment <= now:
            return
        entry = {"due": moment.astimezone(UTC).isoformat(), "since": now.isoformat()}
    if is_open(entry):
        await journal.wait(name, entry)


def end_of(length: timedelta, begin: datetime, *, call: str = "context.sleep({!r})") -> datetime:
    """When so much time has passed.

    :raises ValueError: there is no such year.
    """
    try:
        return begin + length
    except OverflowError:
        raise ValueError(f"{call.format(length)} would end after the year 9999; give a shorter time.") from None


def length_of(duration: Any, *, call: str = "context.sleep({!r})") -> timedelta:
    """How long, given as a ``timedelta`` or in seconds.

    :param call: what messages call it.
    :raises TypeError: it is neither.
    :raises ValueError: it is not finite.
    """
    if isinstance(duration, timedelta):
        return duration
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise TypeError(
            f"{call.format(duration)}: give a timedelta, for instance timedelta(hours=3), or a number of seconds."
        )
    try:
        return timedelta(seconds=duration)
    except (OverflowError, ValueError):  # infinite, not a number, or longer than a timedelta can be
        raise ValueError(
            f"{call.format(duration)}: give a finite number of seconds. To wait without an end, wait for a signal without a "
            "timeout."
        ) from None


def _in_utc(moment: Any) -> datetime:
    """A moment, given as a datetime; a naive one means local time."""
    if not isinstance(moment, datetime):
        raise TypeError(
            f"context.sleep_until({moment!r}): give a datetime, for instance datetime.now(UTC) + timedelta(days=1)."
        )
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        raise ValueError(
            f"context.sleep_until({moment!r}): in UTC, this is not between the years 1 and 9999."
        ) from None
