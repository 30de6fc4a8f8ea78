"""Checkpoints on the way: saved at boundaries where a trigger asks for one."""

from __future__ import annotations

from collections.abc import Collection

from spark.graphs.checkpoint.policies.boundary import Boundary
from spark.graphs.checkpoint.policies.run_trigger import RunTrigger
from spark.graphs.checkpoint.recording.saving import Saver
from spark.graphs.clock import Clock
from spark.graphs.definition.plan import NodePlan
from spark.graphs.engine.facts import CommittedFacts
from spark.graphs.engine.outcome import Cause, Stop
from spark.graphs.engine.position import RunPosition
from spark.graphs.engine.spec import RunSpec


class Autosave:
    """Decides at a boundary whether a checkpoint is due, has it saved, and measures how long the run waits for it."""

    def __init__(self, saver: Saver, trigger: RunTrigger, spec: RunSpec, position: RunPosition, clock: Clock) -> None:
        self._saver = saver
        self._trigger = trigger
        self._has_trigger = bool(trigger)
        self._spec = spec
        self._position = position
        self._tokens = position.frontier.tokens
        self._facts = CommittedFacts(spec, position)
        self._clock = clock.monotonic
        self._began = self._clock()
        self._captured_at = 0.0
        """Seconds from the beginning to the boundary that was saved last."""
        self._took = 0.0
        """Seconds that the run has waited for all of them."""
        self._last_took: float | None = None
        self._saved_iteration: int | None = None
        self.is_saving = False
        """A checkpoint is being saved, and may become durable."""

    @property
    def is_saved(self) -> bool:
        """Whether the present boundary has been saved."""
        return self._saved_iteration == self._position.iteration

    def is_due(self, plan: NodePlan, now: float) -> bool:
        """Whether to save the boundary after a step of this node.

        :raises RuleError: a trigger raised.
        """
        if not (self._has_trigger and self._tokens):  # the end of the run is always saved
            return False
        return self._trigger.is_due(self._boundary(plan.key, plan.names, now))

    async def save(self, plan: NodePlan, now: float) -> Stop | None:
        """Save the present boundary, after a step of this node. Returns why the run stops, if that fails."""
        before, trigger = self._saver.latest, self._trigger
        is_told = trigger.is_told
        self.is_saving = True
        try:
            if is_told:
                trigger.saved(self._boundary(plan.key, plan.names, now))
            capture = self._position.capture(
                self._spec, reason="trigger", remembered=trigger.memory() if is_told else None
            )
            self._facts.saved = capture
            await self._saver.save(capture)
            if is_told:
                trigger.raise_failure()
        except Exception as error:
            self._position.explain(error)
            if self._saver.latest is before:
                return Stop(Cause.SAVING, error)
            self._saved_iteration = self._position.iteration
            return Stop(Cause.FAILURE, error)  # an observer or a rule raised; the checkpoint is durable
        finally:
            self.is_saving = False
            self._last_took = self._clock() - now
            self._took += self._last_took
        self._saved_iteration = self._position.iteration
        self._captured_at = now - self._began
        return None

    def note_end(self, plan: NodePlan) -> None:
        """The present boundary is about to be saved because the run ends there, after a step of this node."""
        if self._trigger.is_told:
            self._trigger.saved(self._boundary(plan.key, plan.names, self._clock()))

    def _boundary(self, node: str, names: Collection[str], now: float) -> Boundary:
        return Boundary(
            self._position.iteration,
            node,
            names,
            now - self._began,
            self._captured_at,
            self._took,
            self._last_took,
            self._facts,
        )
