"""The instruments. What they are measured by has few different values: no ids of graphs, runs or checkpoints."""

from __future__ import annotations

from typing import Final

from opentelemetry.metrics import Meter

from spark.graphs.events import Activity
from spark_observer_otel.attributes import Attributes, clean, outcome_of

_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600)
_BYTES: Final = tuple(4**power for power in range(4, 16))
"""256 bytes to 1 GiB."""
_ACTIVE: Final = ("run", "step")


class Measurements:
    """What is measured of activities. The count of a duration says how many have ended, and how.

    :param meter: makes the instruments.
    """

    def __init__(self, meter: Meter) -> None:
        self._durations = {
            kind: meter.create_histogram(
                f"spark.{kind}.duration",
                unit="s",
                description=what,
                explicit_bucket_boundaries_advisory=_SECONDS,
            )
            for kind, what in (
                ("run", "How long runs took, each time they began or were resumed."),
                ("step", "How long executions of steps took."),
                ("call", "How long durable calls took that were made."),
                ("checkpoint", "How long it took to make and store checkpoints."),
            )
        }
        self._active = {
            kind: meter.create_up_down_counter(
                f"spark.{kind}.active", unit=f"{{{kind}}}", description=f"{kind.title()}s under way."
            )
            for kind in _ACTIVE
        }
        self._retries = meter.create_counter(
            "spark.step.retries", unit="{retry}", description="Retries of failed steps."
        )
        self._sizes = meter.create_histogram(
            "spark.checkpoint.size",
            unit="By",
            description="Stored sizes of checkpoints, where they are known.",
            explicit_bucket_boundaries_advisory=_BYTES,
        )

    def begin(self, activity: Activity) -> None:
        """An activity begins."""
        if activity.kind in _ACTIVE:
            self._active[activity.kind].add(1, _node_of(activity))
        if activity.kind == "step" and (activity.attempt or 1) > 1:
            self._retries.add(1, _node_of(activity))

    def end(self, activity: Activity, *, seconds: float) -> None:
        """It has ended."""
        if activity.kind in _ACTIVE:
            self._active[activity.kind].add(-1, _node_of(activity))
        self._durations[activity.kind].record(seconds, _node_of(activity) | outcome_of(activity))
        if activity.bytes is not None:
            self._sizes.record(activity.bytes)


def _node_of(activity: Activity) -> Attributes:
    return {} if activity.node is None else {"spark.node": clean(activity.node)}
