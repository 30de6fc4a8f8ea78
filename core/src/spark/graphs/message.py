"""What a run returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """A question that a run waits to have answered: ``graph.run(resume={interrupt.id: answer})``."""

    id: str
    """Names the question in its run; it stays the same until it is answered."""
    node: str
    """The key of the node that asks."""
    payload: Any
    """What is asked, as the node gave it."""
    since: datetime
    """When it was asked first."""


@dataclass(frozen=True, slots=True)
class Message:
    """The outcome of a run."""

    content: Any
    """What the last finishing node returned. A node finishes where none of its edges matches."""
    status: str
    """``"completed"``: nothing is left to do; ``"interrupted"``: questions have to be answered; ``"waiting"``: for a time, or for
    a signal."""
    node: str | None
    """The key of the node that returned it; None when no node ran."""
    run_id: str | None = None
    """The id of the run; it stays the same when the run is resumed."""
    resumed: bool = False
    """Whether the run was resumed from a checkpoint, or had been complete and only gave its stored result again."""
    interrupts: tuple[Interrupt, ...] = ()
    """The questions that are open, in the order in which they were asked."""
    due: datetime | None = None
    """When the run goes on by itself, if it is resumed then; None if it does not."""
