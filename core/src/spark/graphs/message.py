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
