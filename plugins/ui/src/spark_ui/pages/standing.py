"""Where a run stands, in a word: its status as the store has it, and whether anybody seems to work on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from spark.graphs.checkpoint import RunInfo
from spark_ui.pages.figures import ago, counted, until

QUIET: Final = timedelta(seconds=60)
"""A run that nobody claims and that has made no checkpoint for so long is called silent: it may be dead."""

KINDS: Final = (
    "damaged",
    "failed",
    "budget",
    "interrupted",
    "silent",
    "cancelled",
    "drained",
    "edited",
    "forked",
    "queued",
    "running",
    "waiting",
    "manual",
    "completed",
)
"""All there are, those first that need a person first."""


_WORDS: Final = {"budget": "out of budget", "manual": "by hand"}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands."""

    kind: str
    """One of ``KINDS``, or that of a later release."""
    word: str
    """What people read: "completed", "silent"."""
    more: str = ""
    """What belongs to it: "for 3 h", "in 12 min"."""


def standing_of(run: RunInfo, *, now: datetime) -> Standing:
    """Where a run stands. One whose program may have died is never called running."""
    kind, more = run.status, ""
    if kind == "running":
        if run.owner is not None:
            more = f"by {run.owner}"
        elif run.since is not None and now - run.since > QUIET:
            kind, more = "silent", f"for {ago(run.since, now)}"
    elif run.questions:
        more = counted(run.questions, "question")
    elif run.due is not None and kind != "completed":
        more = until(run.due, now)
    return Standing(kind, word_of(kind), more)


def word_of(kind: str) -> str:
    """What people read for a kind."""
    return _WORDS.get(kind, kind)


def rank(kind: str) -> int:
    """The place of a kind among all; those that need a person first."""
    return KINDS.index(kind) if kind in KINDS else 0
