"""How a run ends, whatever happens to it: what still finishes, what is saved, and what is raised."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from math import inf
from typing import Any

from spark.errors import ConditionError, StateConflictError, StepSuspended
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.concurrency.grace_period import GracePeriod
from spark.graphs.concurrency.uncancellable import wait_until_done
from spark.graphs.engine.final_save import FinalSave
from spark.graphs.engine.outcome import Cause, Stop
from spark.graphs.engine.run import GraphRun
from spark.graphs.message import Message, open_questions
from spark.graphs.values.failures import add_note, brief, error_data, message_of
from spark.graphs.values.log_fields import log_fields
from spark.graphs.values.snapshots import snapshot

_LOG = logging.getLogger("spark.graphs")


class Ending:
    """Runs a run to its end, and saves a checkpoint to continue from.

    A task of its own, the driver, takes the steps. So a node that ignores its cancellation holds up nobody, and whatever ends the
    run, this code is still there to save it.
    """

    def __init__(self, run: GraphRun) -> None:
        self.run: GraphRun = run
        self._spec = run.spec
        self._position = run.position
        self._config = run.spec.checkpoint_config
        self._driver: asyncio.Task[Stop | None] | None = None
        self._stop: Stop | None = None
        """Why the driver stopped although work is left."""
        self._drain_until = inf
        """Until when running steps may finish, once the run is drained, by the clock of the event loop."""
        self._grace_period = GracePeriod(self._config.cancel_grace)
        self._final_save: FinalSave | None = None
        if run.services.saver is not None:
            self._final_save = FinalSave(run, run.services.saver, self._grace_period)
        self._caller: asyncio.Task[Any] | None = None
        self._until = inf
        """When the budget is used up, by the clock of the event loop."""
        self._drain_timers: list[asyncio.TimerHandle] = []
        self._turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the driver has ended, or is not waited for any longer."""
        self._lost: Exception | None = None
        """Why the run may not continue, nor be saved: somebody else runs its graph."""
        self.failed_node: str | None = None
        """The key of the node that failed first, if one did."""
        self._failure = ""
        """What failed first, as the beginning of a note."""
        self._first_failure: Stop | None = None
        self._notes: list[str] = []

    async def reach(self) -> Message:
        """Run to the end, and return the last finishing node's output.

        :raises BudgetExceededError: a limit of the task's budget was reached.
        :raises CheckpointError: a checkpoint could not be saved.
        :raises RuleError: a trigger or a retention rule raised.
        :raises NodeError: a node let a ``CancelledError`` escape, although nobody cancelled the run.
        :raises BaseException: whatever a node raised, or the ``CancelledError`` that cancelled the run, unchanged, with a note
            that names the checkpoint to continue from.
        """
        self._caller = asyncio.current_task()
        try:
            if self._config.trigger_on_start and not self._spec.is_resumed:
                # Waited for whatever the durability: nothing has happened yet that could be lost.
                await self._save_or_raise("started")
            if self._position.is_urgent:
                await self._save_or_raise("answered")
            elif self._spec.is_resumed and (lease := self.run.services.lease) is not None and lease.took_over:
                await self._save_or_raise("resumed")  # so that whoever had the claim can't save any more
            await self._take_steps()
            if self._stop is not None:
                message = await (self._pause() if self._stop.cause is Cause.PAUSE else self._drained())
            else:
                await self._save_or_raise("completed")
                message = self._message()
            if self.run.waits is not None:
                await self.run.waits.inbox.prune()  # what the run has received, now that it has saved that
            return message
        except BaseException as error:
            await self._shut_down(error)
            self._add_notes(error)
            cancelled = self._grace_period.cancelled
            if cancelled is None or not isinstance(error, Exception):
                raise
            self._add_notes(cancelled)
            raise cancelled from error
        finally:
            for closing in self.run.close():
                await wait_until_done(closing)
            for timer in self._drain_timers:
                timer.cancel()
            # They refer to an error, whose traceback refers to this frame: without the cycle, no garbage collector is needed.
            if self._stop is not None:
                self._stop.drop_error()
            self._driver = self._stop = self._lost = self._first_failure = self._grace_period.cancelled = cancelled = (
                None
            )

    async def leave(self) -> None:
        """Save where the run stands before its first step, and leave it to whoever resumes it.

        :raises CheckpointError: it could not be saved.
        """
        try:
            await self._save_or_raise("queued")
        finally:
            for closing in self.run.close():
                await wait_until_done(closing)
            self._stop = self._grace_period.cancelled = None

    async def _take_steps(self) -> None:
        """Let the driver take steps until no work is left; raises what prevents that."""
        run, loop = self.run, asyncio.get_running_loop()
        seconds = self._spec.budget.max_seconds if self._spec.budget else None
        if seconds is not None:
            self._until = loop.time() + seconds
        self._driver = run.driver = asyncio.create_task(run.drive(), name=f"{self._spec.graph_id}: run")
        self._driver.add_done_callback(self._end_turn)
        timer = loop.call_later(seconds, self._end_turn) if seconds is not None else None
        try:
            await self._turn
        finally:
            if timer is not None:
                timer.cancel()
        self._stop = self._why_it_stopped(seconds)
        if self._stop is None or self._stop.cause in (Cause.PAUSE, Cause.DRAIN):
            return
        if self._stop.cause is Cause.FAILURE:
            self._record_failure(self._stop)
        self.run.is_stopping = True
        try:
            raise self._stop.error
        except Exception:  # SystemExit and KeyboardInterrupt don't wait
            if self._stop.cause is Cause.FAILURE and self._spec.failure_rule.on_failure == "finish":
                await self._let_running_finish(until=loop.time() + self._spec.failure_rule.seconds_to_finish)
            raise

    def _why_it_stopped(self, seconds: float | None) -> Stop | None:
        """Why the driver stopped although work is left, or is not waited for any longer.

        :param seconds: the budget.
        """
        assert self._driver is not None
        if self._lost is not None:
            return Stop(Cause.SAVING, self._lost)
        stop = self._driver.result() if self._driver.done() else None
        if stop is None and self._position.frontier and self.run.draining is not None:
            return Stop(Cause.DRAIN, StepSuspended())
        if not self._driver.done():
            return self.run.over_budget(f"{seconds:g} s")
        return stop

    def _end_turn(self, _: object = None) -> None:
        """Wait for the driver no longer."""
        if not self._turn.done():
            self._turn.set_result(None)

    def lose(self, error: Exception) -> None:
        """Stop what is running, and save nothing, because somebody else runs the graph now."""
        self._lost = error
        self._drain_until = 0.0
        self.run.parallel.wake()
        self._end_turn()

    def limit_draining(self, grace: float) -> None:
        """Running steps get so many seconds to finish, now that the run is to stop at a boundary."""
        loop = asyncio.get_running_loop()
        self._drain_until = min(self._drain_until, loop.time() + grace)
        self._drain_timers.append(loop.call_at(self._drain_until, self._end_turn))
        self.run.parallel.wake()

    async def _drained(self) -> Message:
        """Let running steps finish for a while, stop those that don't, and save where the run stands.

        :raises Exception: a step failed meanwhile.
        """
        request = self.run.draining
        assert request is not None
        await self._let_running_finish(until=self._drain_until)
        await self._stop_steps(self._config.cancel_grace)
        self._stop = self._first_failure or self._stop
        if self._lost is not None:
            self._stop = Stop(Cause.SAVING, self._lost)
        if self._stop is not None and self._stop.cause is not Cause.DRAIN:
            raise self._stop.error
        if not self._position.frontier:
            await self._save_or_raise("completed")
            return self._message()
        await self._save_or_raise("drained")
        return self._unfinished("drained", reason=request.reason)

    async def _let_running_finish(self, *, until: float) -> None:
        """Commit running steps as they finish, after one of them failed or when the run is drained.

        :param until: a time of the event loop's clock.
        """
        parallel, loop = self.run.parallel, asyncio.get_running_loop()
        while parallel and (until := min(until, self._until, self._drain_until)) > loop.time():
            if not await parallel.wait(until=until):
                continue
            stop = await self.run.commit_next()
            if stop is not None and stop.cause is Cause.SAVING:
                self._notes.append(f"afterwards a checkpoint could not be saved: {brief(stop.error)}")
                return
            if stop is not None and stop.cause is Cause.FAILURE:
                self._record_failure(stop)

    def _record_failure(self, stop: Stop) -> None:
        """Note what failed. The first failure is recorded in the final checkpoint, and ``run()`` raises it."""
        step, error = stop.step, stop.error
        node, attempt = (step.node, step.attempt) if step is not None else (None, 1)
        if step is not None:
            self.failed_node = self.failed_node or node
            self._position.note_failure(step, error)
            if attempt > 1:
                self._notes.append(f"it was attempt {attempt} of node {node!r}")
        if self._first_failure is not None:
            self._notes.append(f"in addition, {_what_failed(stop)}{brief(error)}")
            return
        self._first_failure, self._failure = stop, _what_failed(stop)
        if self._final_save is not None and self._config.record_errors:
            data = error_data(error, node=node, attempt=attempt, time=self.run.services.clock.utc_now())
            self._final_save.error_data = self._position.error = data

    async def _save_or_raise(self, reason: str) -> None:
        if self._final_save is None:
            return
        failure = await self._final_save.save(reason)
        try:
            if self._grace_period.cancelled is not None:
                if failure is not None:
                    self._notes.append(f"its last checkpoint could not be saved: {brief(failure)}")
                raise self._grace_period.cancelled
            if failure is not None:
                if self._final_save.saved is None:
                    self._stop = Stop(Cause.SAVING, failure)
                raise failure
        finally:
            del failure  # its traceback refers to this frame

    async def _pause(self) -> Message:
        """All that is left waits for something outside: save that, and return what it is."""
        status = "interrupted" if open_questions(self._position.frontier.capture()) else "waiting"
        await self._save_or_raise(status)
        return self._unfinished(status)

    def _unfinished(self, status: str, *, reason: str = "") -> Message:
        frontier = self._position.frontier
        return Message(
            content=None,
            status=status,
            node=self._position.last_node,
            run_id=self._spec.run_id,
            resumed=self._spec.is_resumed,
            interrupts=open_questions(frontier.capture()),
            due=frontier.suspended.next_due(),
            reason=reason,
        )

    def _message(self) -> Message:
        result = self._position.result
        assert result is not None
        return Message(
            content=snapshot(result.content),
            status=result.status,
            node=result.node,
            run_id=self._spec.run_id,
            resumed=self._spec.is_resumed,
        )

    async def _shut_down(self, error: BaseException) -> None:
        """Stop what is still running, save the last boundary, and note the result."""
        if isinstance(error, GeneratorExit) and not self.may_wait():
            self._abort()
            return
        if not isinstance(error, Exception):
            self._grace_period.begin()
            self._failure = self._failure or "the run was cancelled; "
        await self._stop_steps(self._seconds_to_stop(error))
        if self._final_save is not None:
            await self._save_where_it_stands(self._final_save, error)

    async def _stop_steps(self, seconds: float) -> None:
        """Cancel running steps, twice if necessary. Those that finish anyway are committed; all others are pending again.

        :param seconds: that they get for it.
        """
        run = self.run
        run.is_stopping = True
        half = seconds / 2
        left = [task for task in (self._driver, *run.parallel.tasks) if task is not None]
        for is_last in (False, True):
            self._cancel(left, even_saving=is_last)
            left = await self._grace_period.wait(left, half)
        abandoned = run.still_running(left)
        for stop in run.commit_ended():
            self._record_failure(stop)
        run.requeue_uncommitted()
        if abandoned:
            self._report_abandoned(abandoned)

    def _cancel(self, tasks: Iterable[asyncio.Task[Any]], *, even_saving: bool) -> None:
        autosave = self.run.autosave
        is_saving = autosave is not None and autosave.is_saving  # it may still become durable
        for task in tasks:
            if even_saving or not (task is self._driver and is_saving):
                task.cancel()

    def _seconds_to_stop(self, error: BaseException) -> float:
        if not isinstance(error, Exception):
            return self._grace_period.remaining / 2  # the other half is for saving
        return self._spec.failure_rule.seconds_to_stop

    def _report_abandoned(self, nodes: list[str]) -> None:
        text = f"{', '.join(map(repr, nodes))} did not stop when cancelled; results that still arrive are discarded"
        self._notes.append(text)
        fields = log_fields(self._spec.graph_id, run_id=self._spec.run_id)
        _LOG.warning("Graph %r: %s.", self._spec.graph_id, text, extra=fields)

    async def _save_where_it_stands(self, final_save: FinalSave, error: BaseException) -> None:
        saver, reason, timer = final_save.saver, self._reason(final_save, error), None
        if reason is not None and self._grace_period.remaining < inf:
            timer = asyncio.get_running_loop().call_later(self._grace_period.remaining / 2, saver.expedite)
        before = saver.latest
        failure = await final_save.save(reason)
        if timer is not None:
            timer.cancel()
        if failure is not None and not (reason and saver.latest is not before):
            what = "the last boundary could not be saved" if reason else "checkpoints in progress could not be finished"
            self._notes.append(f"{what}: {type(failure).__name__}: {message_of(failure)}")
        elif reason is not None and saver.latest is not None:
            self._notes.insert(0, self._where_to_continue(saver.latest))

    def _reason(self, final_save: FinalSave, error: BaseException) -> str | None:
        """What the checkpoint is made for; None when none is to be made."""
        cause, autosave = self._stop and self._stop.cause, self.run.autosave
        if self._lost is not None:
            return None
        if not self._position.frontier:
            is_saved = final_save.saved is not None and final_save.saved.metadata["reason"] == "completed"
            return None if is_saved or cause is Cause.SAVING else "completed"
        if not isinstance(error, Exception):
            return "cancelled" if self._config.trigger_on_cancel else None
        if cause is Cause.BUDGET:
            return "budget"
        if cause is Cause.SAVING or (autosave is not None and autosave.is_saved and not self._failure):
            return None  # it can't be saved; or it is saved, and an observer or a rule raised after that
        return "failed" if self._config.trigger_on_failure else None

    def _where_to_continue(self, info: CheckpointInfo) -> str:
        return (
            f"{self._failure}graph {self._spec.graph_id!r} was saved as checkpoint {info.checkpoint_id!r}; to continue from "
            "there, use run(resume=True) or Graph.from_checkpoint()."
        )

    def _add_notes(self, error: BaseException) -> None:
        for note in self._notes:
            add_note(error, note)

    def may_wait(self) -> bool:
        """Whether the caller's task runs this, and not the garbage collector, which closes abandoned coroutines."""
        try:
            return self._caller is not None and asyncio.current_task() is self._caller
        except RuntimeError:
            return False

    def _abort(self) -> None:
        """Stop what runs, without waiting for it."""
        tasks = [task for task in (self._driver, *self.run.parallel.tasks) if task is not None]
        self.run.requeue_uncommitted()
        for task in tasks:
            with suppress(RuntimeError):  # the event loop is closed
                task.cancel()


def _what_failed(stop: Stop) -> str:
    if stop.step is None:
        return ""
    item = stop.step.token.item
    where = "" if item is None else f" for item {', '.join(map(repr, item.path()))}"
    if isinstance(stop.error, ConditionError | StateConflictError):
        return f"the step of node {stop.step.node!r}{where} could not be committed; "
    return f"node {stop.step.node!r} failed{where}; "
