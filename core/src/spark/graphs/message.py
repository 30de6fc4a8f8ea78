"""What a run returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """The outcome of a run."""

    content: Any
    """What the last finishing node returned. A node finishes where none of its edges matches."""
    status: str
    """``"completed"``: nothing is left to do."""
    node: str | None
    """The key of the node that returned it; None when no node ran."""
    run_id: str | None = None
    """The id of the run; it stays the same when the run is resumed."""
    resumed: bool = False
    """Whether the run was resumed from a checkpoint, or had been complete and only gave its stored result again."""
