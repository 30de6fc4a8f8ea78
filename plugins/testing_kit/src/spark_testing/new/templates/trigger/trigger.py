"""A trigger that goes by money: a checkpoint is due whenever a given amount of dollars was spent since the last one."""

from __future__ import annotations

import math
from contextlib import suppress
from copy import copy
from typing import Any

from spark.graphs.checkpoint import Boundary, Trigger


class Example(Trigger):
    """Due when the run has spent this many dollars since its last checkpoint.

    What it has spent in all is in the state of the graph, where nodes add what they pay.

    :param dollars: a number above 0.
    :param spent: where the state has the sum: a key, or the path into a mapping, such as ``"costs.dollars"``.
    """

    # Checkpoints record the options, so that a restored graph has the same trigger. They are read from the attributes that are
    # called as the parameters.

    def __init__(self, dollars: float, *, spent: str = "dollars_spent") -> None:
        if not 0 < dollars < math.inf:
            raise ValueError("dollars must be a number above 0.")
        self.dollars = dollars
        self.spent = spent
        self._spent_before = 0.0

    def is_due(self, boundary: Boundary) -> bool:
        """Called at each boundary, on the event loop: it looks, decides and returns."""
        return self._spent_at(boundary) - self._spent_before >= self.dollars

    # What follows makes it remember: where the last checkpoint was made is not in the state. A trigger that goes by the boundary
    # alone needs nothing of this.

    def start(self) -> Example:
        """One object for each run: this one may be in use by several runs at once."""
        return copy(self)

    def saved(self, boundary: Boundary) -> None:
        self._spent_before = self._spent_at(boundary)

    def memory(self) -> dict[str, float]:
        """Kept in the checkpoint, for the run that is resumed from it."""
        return {"spent": self._spent_before}

    def recall(self, memory: Any) -> None:
        """It comes from the store, so it may be anything."""
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            self._spent_before = float(memory["spent"])

    def _spent_at(self, boundary: Boundary) -> float:
        return boundary.metric(self.spent) or 0.0

    def __repr__(self) -> str:
        return f"Example({self.dollars}, spent={self.spent!r})"
