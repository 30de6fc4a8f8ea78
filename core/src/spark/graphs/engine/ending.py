"""How a run ends, whatever happens to it: what still finishes, what is saved, and what is raised."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from spark.errors import ConditionError, StateConflictError
from spark.graphs.checkpoint.configuration.config import CheckpointConfig
from spark.graphs.concurrency.grace_period import GracePeriod, Outcome, ended, outcome_of, result_of
from spark.graphs.engine.run import GraphRun, escaped
from spark.graphs.message import Message
from spark.graphs.values.failures import add_note, brief, error_data, message_of
from spark.graphs.values.snapshots import snapshot

if TYPE_CHECKING:
    from spark.graphs.checkpoint.recording.saving import SyncSaver
    from spark.graphs.checkpoint.records.info import CheckpointInfo
    from spark.graphs.definition.context import NodeContext

OnFailure: TypeAlias = Literal["finish", "cancel"]

TO_FINISH: Final = 600.0
TO_STOP: Final = 5.0
"""Seconds that running nodes get when another one has failed, unless the graph says otherwise."""
_LAST_CHANCE: Final = 0.1
"""Seconds that a save which took too long gets to notice that it is over."""
_DEFAULTS: Final = CheckpointConfig()
_LOG = logging.getLogger("spark.run")


@dataclass(frozen=True, slots=True)
class FailureRule:
    """What happens to the nodes that are running when another one fails."""

    on_failure: OnFailure = "finish"
    """``"finish"``: they run to their end, and what they did counts; ``"cancel"``: they are stopped at once, and repeated."""
    grace: float | None = None
    """Seconds that they get to finish, or to stop; None: 600 to finish, 5 to stop."""

    def to_data(self) -> dict[str, Any]:
        """The arguments of ``Graph`` that it was made of, which is also what checkpoints record."""
        return {"on_failure": self.on_failure, "failure_grace": self.grace}

    @classmethod
    def recorded_in(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of ``Graph`` that the configuration in a checkpoint records; older releases recorded none."""
        return {name: config[name] for name in cls().to_data() if name in config}


class Ending:
    """Carries a run to its end, and leaves behind what can be continued from.

    The steps are taken in a task of their own, the driver: a node that does not stop when it should then holds up nobody, and
    whatever ends the run, there is somebody left to save it.
    """

    def __init__(
        self, run: GraphRun, config: CheckpointConfig | None, failure_rule: FailureRule, *, is_new: bool
    ) -> None:
        self._run = run
        self._saving = run.saving
        self._config = config or _DEFAULTS
        self._failure_rule = failure_rule
        self._is_new = is_new
        self._driver: asyncio.Task[Outcome] | None = None
        self._grace_period = GracePeriod(self._config.cancel_grace)
        self._caller: asyncio.Task[Any] | None = None
        self._until = float("inf")
        """When the budget is used up, by the clock of the event loop."""
        self._has_failed = False
        self._blame = ""
        """Who brought the end about, for the note."""
        self._why: dict[str, Any] | None = None
        """What checkpoints say of the failure that ends the run."""
        self._saved: CheckpointInfo | None = None
        """The last checkpoint of the run."""
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
            if self._is_new and self._config.trigger_on_start:
                # Waited for whatever the durability: nothing has happened yet that could be lost.
                await self._save_or_raise("started")
            await self._take_steps()
            return await self._complete()
        except BaseException as error:
            await self._leave(error)
            for note in self._notes:
                add_note(error, note)
            if self._grace_period.cancelled is None or not isinstance(error, Exception):
                raise
            for note in self._notes:
                add_note(self._grace_period.cancelled, note)
            raise self._grace_period.cancelled from error
        finally:
            # They lead to an error, whose traceback leads back here: what is left of a run goes at once, without the collector.
            self._driver = self._grace_period.cancelled = self._run.budget_error = self._run.save_error = None

    async def _take_steps(self) -> None:
        run = self._run
        seconds = run.budget.max_seconds if run.budget else None
        if seconds is not None:
            self._until = asyncio.get_running_loop().time() + seconds
        self._driver = asyncio.create_task(outcome_of(run.drive), name=f"{run.graph_id}: run")
        await asyncio.wait([self._driver], timeout=seconds)
        if not self._driver.done():
            raise run.over_budget(f"{seconds:g} s")
        try:
            self._raise_what_ended_it()
        except BaseException as error:
            if self._is_failure(error):
                self._count_failure(run.current, error)
                if isinstance(error, Exception):  # SystemExit and its kind wait for nobody
                    await self._let_siblings_finish()
            raise

    def _raise_what_ended_it(self) -> None:
        assert self._driver is not None
        step = self._run.current
        try:
            result_of(self._driver)
        except asyncio.CancelledError as error:
            if self._driver.cancelling() or step is None:
                raise
            raise escaped(step) from error

    def _is_failure(self, error: BaseException) -> bool:
        """Whether the work failed, and not the saving of it, nor that there was no time for it."""
        run = self._run
        return (
            not isinstance(error, asyncio.CancelledError)
            and error is not run.budget_error
            and error is not run.save_error
        )

    def _count_failure(self, step: NodeContext | None, error: BaseException) -> None:
        if step is not None:
            step.token.failures += 1
        if self._has_failed:
            self._notes.append(f"besides, {_blame(step, error)}{brief(error)}")
            return
        self._has_failed, self._blame = True, _blame(step, error)
        if self._saving is not None and self._config.record_errors:
            node, attempt = (step.node, step.token.failures) if step is not None else (None, 1)
            self._why = self._run.error = error_data(error, node=node, attempt=attempt, time=self._saving.now())

    async def _let_siblings_finish(self) -> None:
        """Commit what is still running when a step has failed, as it finishes, unless it is to be stopped."""
        if self._failure_rule.on_failure == "cancel":
            return
        until = asyncio.get_running_loop().time() + (self._failure_rule.grace or TO_FINISH)
        until = min(until, self._until)
        while True:
            try:
                if not await self._run.finish_next(until=until):
                    return
            except Exception as error:
                if error is self._run.save_error:
                    self._notes.append(f"and then a checkpoint could not be saved: {brief(error)}")
                    return
                self._count_failure(self._run.current, error)

    async def _complete(self) -> Message:
        await self._save_or_raise("completed")
        result = self._run.result
        assert result is not None
        return replace(result, content=snapshot(result.content), run_id=self._run.run_id, resumed=not self._is_new)

    async def _leave(self, error: BaseException) -> None:
        """Stop what still runs, save the boundary that the run stands at, and note what came of it."""
        if isinstance(error, GeneratorExit) and not self._may_wait():
            self._drop()
            return
        if not isinstance(error, Exception):
            self._grace_period.hurry()
            self._blame = self._blame or "the run was cancelled; "
        await self._stop_steps(error)
        if self._saving is not None:
            await self._save_as_it_stands(self._saving, error)

    async def _stop_steps(self, error: BaseException) -> None:
        """Cancel what runs, twice if need be; what has finished all the same is committed, and everything else pending again."""
        run, driver = self._run, self._driver
        run.is_stopping = True
        half = self._seconds_to_stop(error) / 2
        left = [task for task in (driver, *run.tasks) if task is not None]
        for is_last in (False, True):
            self._cancel(left, even_saving=is_last)
            left = await self._grace_period.wait(left, half)
        lost = [run.tasks[task].node for task in left if task in run.tasks]
        lost += [run.current.node] if driver in left and run.current is not None else []
        run.commit_finished(self._count_failure)
        run.give_up_rest()
        if lost:
            self._report_lost(lost)

    def _cancel(self, tasks: Iterable[asyncio.Task[Outcome]], *, even_saving: bool) -> None:
        for task in tasks:
            if even_saving or not (task is self._driver and self._run.is_saving):  # that may become durable
                task.cancel()

    def _seconds_to_stop(self, error: BaseException) -> float:
        if not isinstance(error, Exception):
            return self._grace_period.left / 2  # the other half is for saving
        if self._failure_rule.on_failure == "cancel" and self._failure_rule.grace is not None:
            return self._failure_rule.grace
        return TO_STOP

    def _report_lost(self, nodes: list[str]) -> None:
        text = f"{', '.join(map(repr, nodes))} did not stop when cancelled, and was left behind; its result is ignored"
        self._notes.append(text)
        _LOG.warning("Graph %r: %s.", self._run.graph_id, text)

    async def _save_as_it_stands(self, saving: SyncSaver, error: BaseException) -> None:
        reason = self._reason(error)
        timer = None
        if reason is not None and self._grace_period.left < float("inf"):
            timer = asyncio.get_running_loop().call_later(self._grace_period.left / 2, saving.hurry)
        before = saving.latest
        failure = await self._save(reason)
        if timer is not None:
            timer.cancel()
        self._tell(reason, failure, is_durable=saving.latest is not before)

    def _reason(self, error: BaseException) -> str | None:
        """What the checkpoint is made for; None when none is to be made."""
        if not self._run.frontier:
            return "completed" if self._saved is None and error is not self._run.save_error else None
        if not isinstance(error, Exception):
            return "cancelled" if self._config.trigger_on_cancel else None
        if error is self._run.budget_error:
            return "budget"
        if error is self._run.save_error or (self._run.is_saved and not self._blame):
            return None  # it can't be saved; or it is, and it was somebody who was told of it that raised
        return "failed" if self._config.trigger_on_failure else None

    def _tell(self, reason: str | None, failure: BaseException | None, *, is_durable: bool) -> None:
        if failure is not None and not (reason and is_durable):
            what = "the graph could not be saved as it was before" if reason else "when the run was left"
            self._notes.append(f"and {what}: {type(failure).__name__}: {message_of(failure)}")
        elif reason is not None and self._saving is not None and self._saving.latest is not None:
            self._notes.insert(0, self._where_it_is(self._saving.latest))

    def _where_it_is(self, info: CheckpointInfo) -> str:
        return (
            f"{self._blame}graph {self._run.graph_id!r} was saved as it stood, as checkpoint {info.checkpoint_id!r}; "
            "run(resume=True) or Graph.from_checkpoint() continues from there."
        )

    async def _save_or_raise(self, reason: str) -> None:
        if self._saving is None:
            return
        failure = await self._save(reason)
        try:
            if self._grace_period.cancelled is not None:
                if failure is not None:
                    self._notes.append(f"and its last checkpoint could not be saved: {brief(failure)}")
                raise self._grace_period.cancelled
            if failure is not None:
                if self._saved is None:
                    self._run.save_error = failure
                raise failure
        finally:
            del failure  # its traceback leads to this frame

    async def _save(self, reason: str | None) -> BaseException | None:
        """Save the present boundary, unless there is no reason to, and let nothing be saved or deleted behind the caller's back.

        It is done in a task of its own, so that cancelling the run does not cut it off. What kept it from being done is returned.
        """
        assert self._saving is not None
        while True:
            task = asyncio.create_task(
                outcome_of(self._finish, reason), name="spark-graphs: saving the last checkpoint"
            )
            if await self._grace_period.wait([task]):
                self._saving.drop()
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task], timeout=_LAST_CHANCE)
                return TimeoutError(f"it took longer than the {self._config.cancel_grace:g} s of cancel_grace")
            _, error = ended(task)
            # Whoever ends an event loop cancels all its tasks, this one too.
            if not isinstance(error, asyncio.CancelledError) or self._grace_period.cancelled is None:
                return error

    async def _finish(self, reason: str | None) -> None:
        assert self._saving is not None
        run, failure = self._run, None
        try:
            if reason is not None:
                run.error = self._why or run.error
                capture = run.capture(reason=reason)
                capture.is_repeat = not self._is_new and run.is_where_it_began() and reason != "completed"
                self._saved = await self._saving.finish(capture)
        except Exception as error:
            run.explain(error)
            failure = error
        await self._saving.settle()
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # as above

    def _may_wait(self) -> bool:
        """Whether this is the task of the caller still, and not the garbage collector that closes it."""
        try:
            return self._caller is not None and asyncio.current_task() is self._caller
        except RuntimeError:
            return False

    def _drop(self) -> None:
        """Stop what runs, without waiting for it."""
        self._run.give_up_rest()
        for task in (self._driver, *self._run.tasks):
            if task is not None:
                with suppress(RuntimeError):  # the event loop is closed
                    task.cancel()


def _blame(step: NodeContext | None, error: BaseException) -> str:
    if step is None:
        return ""
    if isinstance(error, ConditionError | StateConflictError):
        return f"the step of node {step.node!r} could not be committed; "
    return f"node {step.node!r} failed; "
