"""Checkpoints on the way: saved at boundaries where a trigger asks for one."""

from __future__ import annotations

import asyncio
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
        self._is_busy = False
        """So is one, here or beside running steps."""
        self._idle: asyncio.Future[None] | None = None
        """Set when none is any more, if somebody waits for that."""
        self._persisting: asyncio.Task[None] | None = None
        """Saves what steps wait for, as soon as that is so."""
        self._may_share = False
        """It has not begun: whatever is committed until then is in it."""

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
        if self._is_busy:
            await self._turn()
        before, trigger = self._saver.latest, self._trigger
        is_told = trigger.is_told
        self.is_saving = self._is_busy = True
        reason = "suspended" if self._position.is_urgent else "trigger"
        self._position.is_urgent = False
        try:
            if is_told:
                trigger.saved(self._boundary(plan.key, plan.names, now))
            capture = self._position.capture(
                self._spec, reason=reason, remembered=trigger.memory() if is_told else None
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
            self._end_turn()
            self._last_took = self._clock() - now
            self._took += self._last_took
        self._saved_iteration = self._position.iteration
        self._captured_at = now - self._began
        return None

    async def persist(self) -> None:
        """Make what was committed by now durable, beside steps that run. Those that ask for it at the same time share one save.

        :raises CheckpointError: it could not be saved.
        """
        if not self._may_share:
            self._may_share = True
            self._persisting = asyncio.create_task(self._persist(), name="spark-graphs: saving what a step waits for")
            self._persisting.add_done_callback(self._on_persisted)
        task = self._persisting
        assert task is not None
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_retrieved)
            raise

    async def settle(self) -> None:
        """Wait until nothing of that is being saved any more."""
        while self._may_share or self._is_busy:
            await self._until_idle()

    async def _persist(self) -> None:
        await self._turn()
        self._is_busy, self._may_share = True, False
        try:
            capture = self._position.capture(self._spec, reason="call", remembered=self._trigger.memory())
            self._facts.saved = capture
            await self._saver.save_durably(capture)
        finally:
            self._end_turn()

    def _on_persisted(self, task: asyncio.Task[None]) -> None:
        if self._may_share and task is self._persisting:  # cancelled before its turn: the event loop is shut down
            self._may_share = False
            self._wake_idle()

    async def _turn(self) -> None:
        while self._is_busy:
            await self._until_idle()

    async def _until_idle(self) -> None:
        if self._idle is None:
            self._idle = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._idle)

    def _end_turn(self) -> None:
        self._is_busy = False
        self._wake_idle()

    def _wake_idle(self) -> None:
        if self._idle is not None:
            self._idle.set_result(None)
            self._idle = None

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


def _retrieved(task: asyncio.Task[None]) -> None:
    """Look at the failure of a save for which nobody waits any longer, or asyncio would log it."""
    if not task.cancelled():
        task.exception()
