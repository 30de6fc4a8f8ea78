"""One call of ``graph.run()``: what it begins with, the run, and what it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from logging import INFO, getLogger
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from spark.errors import CheckpointConflictError, GraphDefinitionError
from spark.graphs.concurrency.uncancellable import wait_for_end
from spark.graphs.engine.ending import Ending
from spark.graphs.resuming.origin import check_resume
from spark.graphs.tasks import Task
from spark.graphs.values.snapshots import snapshot

if TYPE_CHECKING:
    from spark.graphs.arguments import Arguments
    from spark.graphs.checkpoint.derived.claims import Claim
    from spark.graphs.checkpoint.policies.run_trigger import RunTrigger
    from spark.graphs.checkpoint.recording.recorder import Recorder
    from spark.graphs.definition.topology import Topology
    from spark.graphs.engine.draining import RunHandle
    from spark.graphs.engine.run import GraphRun
    from spark.graphs.events.views import Views
    from spark.graphs.message import Message
    from spark.graphs.resuming.origin import Origin, Resume
    from spark.graphs.resuming.session import GraphSession
    from spark.graphs.state.journal import Entry

_LOG: Final = getLogger("spark.graphs")


class Asked(NamedTuple):
    """The arguments of ``graph.run()``."""

    task: Task | Mapping[str, Any] | None
    resume: Resume
    rename: Mapping[str, str] | None
    wait: bool
    claim: bool | Claim


class RunCall:
    """One call of ``graph.run()``.

    :param on_run: called with the run when it is there, and with None before, when the graph stands where it begins.
    """

    def __init__(
        self,
        arguments: Arguments,
        session: GraphSession,
        topology: Topology,
        call: RunHandle,
        *,
        on_run: Callable[[GraphRun | None], object],
    ) -> None:
        self._arguments = arguments
        self._session = session
        self._topology = topology
        self._call = call
        self._on_run = on_run

    async def carry_out(self, asked: Asked) -> Message:
        """Run to the end, as ``graph.run()`` says."""
        is_unfinished = False
        try:
            message = await self._carry_out(asked)
            is_unfinished = message.status != "completed"
            return message
        finally:
            if self._call.lease is not None:
                await self._call.lease.release(offered=is_unfinished)

    async def submit(self, task: Task) -> bool:
        """Save where a run begins, and take no step, as ``graph.submit()`` says."""
        try:
            return await self._submit(task)
        except CheckpointConflictError:  # somebody else was faster: see with what
            return await self._submit(task)

    async def _submit(self, task: Task) -> bool:
        arguments = self._arguments
        if arguments.backend is None:
            raise GraphDefinitionError(
                f"submit(): graph {arguments.graph_id!r} has no store in which a worker could find the run; give it a "
                "checkpoint_config with a backend, for instance CheckpointConfig(backend='sqlite:///runs.db')."
            )
        if task.budget is not None:
            raise GraphDefinitionError(
                "submit(): checkpoints hold no budget, so no worker would know of it. Leave it out, or run the task "
                "here."
            )
        stored = arguments.stored_checkpoints(self._topology, None, for_result=True)
        origin = await self._session.choose_origin(True, stored)
        if origin.pending is not None:
            origin.pending.check_inputs(task.inputs, codec=stored.record_codec())
            return False
        with arguments.new_trigger(origin) as trigger:
            run, recorder = await self._begin(origin, task, trigger, {})
            try:
                await Ending(run).leave()
            finally:
                self._close(run, recorder)
        self._session.mark_stored()
        await arguments.offer()
        return True

    async def _carry_out(self, asked: Asked) -> Message:
        arguments, session, resume = self._arguments, self._session, asked.resume
        check_resume(resume, asked.rename)
        if asked.claim is not False:
            self._call.lease = await arguments.take_claim(asked.claim, call=self._call)
        task = Task.of(asked.task)
        stored = arguments.stored_checkpoints(self._topology, asked.rename, for_result=resume != "state")
        origin = await session.choose_origin(resume, stored)
        answered: Mapping[str, Entry] = {}
        if resume:
            answered = origin.answered(resume, codec=stored.record_codec, check=arguments.check)
        if origin.pending is not None:
            origin.pending.check_inputs(task.inputs, codec=stored.record_codec())
            if origin.pending.is_complete():
                self._on_run(None)
                return await self._give_result(origin)
        with arguments.new_trigger(origin) as trigger:
            run, recorder = await self._begin(origin, task, trigger, answered)
            return await self._reach_end(run, origin, recorder)

    async def _begin(
        self, origin: Origin, task: Task, trigger: RunTrigger, answered: Mapping[str, Entry]
    ) -> tuple[GraphRun, Recorder | None]:
        """A run that is about to take steps, and what records it."""
        arguments, session = self._arguments, self._session
        if origin.pending is not None:
            inputs = origin.pending.inputs
        else:  # first: if they can't be saved, the graph is unchanged
            inputs = snapshot(dict(task.inputs), path="inputs", check=arguments.check)
        recorder = arguments.new_recorder()
        if recorder is not None:
            await recorder.open(parent=origin.parent, aside=origin.aside, next_sequence=origin.next_sequence)
        elif arguments.observers.are_given:
            await arguments.observers.discover()
        received: Mapping[str, Any] = {}
        if recorder is not None and origin.pending is None:  # a run that is resumed knows it itself
            received = await session.received_before(recorder)
        session.begin_at(origin)
        if recorder is not None:
            recorder.continue_from(session.take_stored())
        self._on_run(None)
        if origin.checkpoint is not None and origin.pending is not None:
            await arguments.observers.restored(origin.checkpoint)
        run = arguments.new_run(
            self._topology,
            origin,
            task,
            inputs=inputs,
            session=session,
            recorder=recorder,
            trigger=trigger,
            answered=answered,
            received=received,
            call=self._call,
        )
        self._on_run(run)
        session.begun()  # only now: a run that could not begin can be tried again
        return run, recorder

    def _close(self, run: GraphRun, recorder: Recorder | None) -> None:
        """The run takes no further step."""
        run.services.runner.close()
        if recorder is not None:
            self._session.stored = recorder.left()

    async def _reach_end(self, run: GraphRun, origin: Origin, recorder: Recorder | None) -> Message:
        session, ending, is_stored = self._session, Ending(run), True
        self._call.attach(ending)
        self._call.resumed_from = origin.checkpoint if origin.pending is not None else None
        try:
            carrier = origin.pending.carrier if origin.pending is not None else {}
            if (views := self._views()) is not None:
                watch = run.open_watch(sees_steps=views.see_steps)
                views.begin(watch, origin.pending)
                carrier = watch.carrier
            if carrier:
                run.spec.config["carrier"] = dict(carrier)
            message = await ending.reach()
            if recorder is None and message.status != "completed":
                session.pause(run.capture(reason=message.status), graph_id=run.spec.graph_id)
            if run.watch is not None:
                run.watch.returned(message)
            return message
        except BaseException as error:
            is_stored = recorder is not None and recorder.history.has_grown
            if run.watch is not None and not run.watch.is_over:
                run.watch.raised(error, node=ending.failed_node)
            raise
        finally:
            self._call.detach()
            self._close(run, recorder)
            if is_stored:
                session.mark_stored()
            if run.watch is not None:
                await run.watch.close(may_wait=ending.may_wait())

    async def _give_result(self, origin: Origin) -> Message:
        """The result of a complete run, which executes nothing."""
        assert origin.pending is not None
        message = self._session.finish_complete(origin)
        await self._arguments.observers.discover()
        if (views := self._views()) is not None:
            await views.show_result(origin.pending, message, clock=self._arguments.clock)
        return message

    def _views(self) -> Views | None:
        """Who watches the run from its beginning; None where nobody does, and nothing has to be loaded for that."""
        arguments, observers = self._arguments, self._arguments.observers
        are_asked = arguments.backend is not None or observers.are_given
        is_watched = are_asked and observers.watch(arguments.graph_id)
        if not (self._call.channels or is_watched or _LOG.isEnabledFor(INFO)):
            return None
        from spark.graphs.events.views import Views

        return Views(self._call.channels, observers if is_watched else None, graph_id=arguments.graph_id)


async def until_ended(left: list[asyncio.Task[None]]) -> None:
    """Wait for a run to end whose stream was left, and which is being cancelled. Then it is no longer in this list."""
    while left:
        await wait_for_end(left[0])
        left.clear()
