"""Is a run better than it was? A trigger that goes by a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.policies.boundary import Boundary
from spark.graphs.checkpoint.policies.metrics import Mode, checked_metric, checked_mode, is_better, number
from spark.graphs.checkpoint.policies.triggers import Trigger


class WhenImproved(Trigger):
    """Due when a metric is better than in every earlier checkpoint of the run; first as soon as there is one.

    What counts is what was saved, by whichever trigger, even before the run was resumed. If the metric is not a finite number,
    it is not due.

    :param metric: a key of the graph's state, ``"loss"``, or the path into a mapping there, ``"eval.loss"``.
    :param mode: ``"max"`` where larger is better, ``"min"`` where smaller is.
    :param min_delta: it has to be better by more than this.
    """

    name = "when_improved"

    def __init__(self, metric: str, mode: Mode = "max", min_delta: float = 0.0) -> None:
        self.metric: str = checked_metric(metric, place="WhenImproved(metric=…)")
        self.mode: Mode = checked_mode(mode, place="WhenImproved(mode=…)")
        if isinstance(min_delta, bool) or not isinstance(min_delta, int | float) or not 0 <= min_delta < math.inf:
            raise GraphDefinitionError(f"WhenImproved(min_delta={min_delta!r}): give a number of at least 0.")
        self.min_delta = min_delta
        self._best: int | float | None = None
        """In the checkpoints of the run; only of a rule that was started."""

    def start(self) -> Trigger:
        return WhenImproved(self.metric, self.mode, self.min_delta)

    def is_due(self, boundary: Boundary) -> bool:
        return self._improves(boundary.metric(self.metric), by=self.min_delta)

    def saved(self, boundary: Boundary) -> None:
        value = boundary.metric(self.metric)
        if self._improves(value, by=0.0):
            self._best = value

    def memory(self) -> Any:
        return None if self._best is None else {"metric": self.metric, "mode": self.mode, "best": self._best}

    def recall(self, memory: Any) -> None:
        if isinstance(memory, Mapping) and (memory.get("metric"), memory.get("mode")) == (self.metric, self.mode):
            self._best = number(memory.get("best"))

    def metrics(self) -> frozenset[str]:
        return frozenset({self.metric})

    def _improves(self, value: int | float | None, *, by: float) -> bool:
        return value is not None and (self._best is None or is_better(value, self._best, mode=self.mode, by=by))

    def __repr__(self) -> str:
        return f"WhenImproved({self.metric!r}, mode={self.mode!r}, min_delta={self.min_delta})"
