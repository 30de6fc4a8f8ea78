"""Nodes that an executor executes elsewhere: a step becomes plain data, and what comes back an outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from spark.errors import ExecutorError, SparkError
from spark.graphs.concurrency.uncancellable import is_being_cancelled, wait_uncancellable
from spark.graphs.definition.plan import NodePlan
from spark.graphs.definition.step import Step
from spark.graphs.engine.outcome import Cancelled, Failed, FinishedElsewhere, NotBegun, Outcome, Suspended
from spark.graphs.engine.remote_channel import RemoteChannel, ServedState
from spark.graphs.executors.contract import Executor, StepHandle
from spark.graphs.executors.failures import failure_from
from spark.graphs.executors.messages import (
    CANCELLED,
    FAILED,
    FINISHED,
    GRAPH_STATE,
    NODE_STATE,
    SUSPENDED,
    StepInput,
    StepResult,
)
from spark.graphs.executors.references import NodeReference
from spark.graphs.executors.room import Room
from spark.graphs.executors.values import ValueCodec
from spark.graphs.executors.writes import writes_from

_LOG = logging.getLogger("spark.graphs")
LONGEST_CANCEL: Final = 60.0
"""Seconds that an executor gets to stop a step."""
_NO_ERROR: Final = {"type": "builtins:Exception", "message": "no error was sent"}
_MOST_EXPECTED: Final = 16
"""So many keys of a state are sent along because the node has read them before."""


class RemoteNode:
    """Has the steps of one node executed by an executor, for one run.

    :param room: of the executor.
    :param codec: encodes what is sent; ``codec_data`` tells the worker how.
    """

    def __init__(
        self,
        executor: Executor,
        reference: NodeReference,
        *,
        room: Room,
        codec: ValueCodec,
        codec_data: Mapping[str, Any],
        is_checked: bool,
    ) -> None:
        self._executor = executor
        self._reference = reference
        self._sent_reference = reference.to_send()
        self._room = room
        self._codec = codec
        self._codec_data = codec_data
        self._is_checked = is_checked
        self._expected: dict[str, dict[str, None]] = {GRAPH_STATE: {}, NODE_STATE: {}}
        """What its last steps have read of each state."""
        self._held: set[HeldResult] = set()

    async def execute(self, step: Step, plan: NodePlan, *, is_watched: bool) -> Outcome:
        """Execute a step, once there is room for it. Never raises. Cancelling the call stops the step."""
        step.queue()
        try:
            await self._room.enter()
        except asyncio.CancelledError as error:
            return Cancelled(error) if is_being_cancelled() else Failed.escaped(plan.key, error)
        try:
            if step.scope.is_stopping:
                return NotBegun()
            return await self._execute(step, plan, is_watched=is_watched)
        except asyncio.CancelledError as error:
            return Cancelled(error) if is_being_cancelled() else Failed.escaped(plan.key, error)
        except BaseException as error:  # of a plugin; a SystemExit that left a task would end the event loop
            return Failed(error)
        finally:
            self._room.leave()

    def close(self) -> None:
        """The run has ended: what was kept for results that nobody commits any more may go."""
        for held in [*self._held]:
            held.release()

    async def _execute(self, step: Step, plan: NodePlan, *, is_watched: bool) -> Outcome:
        served = ServedState(step, self._codec)
        around = step.scope.around_elsewhere(step) if is_watched else None
        sent = await self._sent(step, served, is_async=plan.is_async, is_watched=is_watched)
        if around is not None:
            sent = sent._replace(around=around.sent)
        channel = RemoteChannel(step, self._codec, served, node=self._reference, around=around)
        step.when_over(lambda _: channel.close())
        held: HeldResult | None = None
        try:
            handle = await self._executor.submit(sent, channel)
            if not isinstance(handle, StepHandle):
                raise self._broken(step, f"a {type(handle).__name__} instead of a StepHandle")
            result = await self._result(handle, step)
            held = HeldResult(handle, self._held)
            await channel.until_handled()
            channel.close()
            outcome = await self._outcome(step, result, served, held)
            if isinstance(outcome, FinishedElsewhere):
                held = None
            return outcome
        finally:
            channel.close()
            if held is not None:
                held.release()
            await channel.until_ended()

    async def _result(self, handle: StepHandle, step: Step) -> StepResult:
        try:
            return await handle.result()
        except asyncio.CancelledError:
            await wait_uncancellable(self._cancelled(handle, step))
            raise
        except BaseException:
            with suppress(Exception):  # and here, why there is no result
                handle.release()
            raise

    async def _cancelled(self, handle: StepHandle, step: Step) -> None:
        async def cancel() -> None:
            with suppress(Exception, SystemExit):  # of a plugin: what counts is that the step was cancelled
                await handle.cancel()

        cancelling = asyncio.create_task(cancel(), name=f"spark-graphs: cancellation of {step.node}")
        await asyncio.wait([cancelling], timeout=LONGEST_CANCEL)
        if not cancelling.done():
            cancelling.cancel()
            _LOG.error(
                "Graph %r: the executor %s did not stop node %r within %g s of its cancellation. The run continues without it, "
                "and its result will be dropped. Report this to the authors of the executor.",
                step.scope.graph_id,
                type(self._executor).__name__,
                step.node,
                LONGEST_CANCEL,
                extra=step.log_fields,
            )

    async def _sent(self, step: Step, served: ServedState, *, is_async: bool, is_watched: bool) -> StepInput:
        token, scope, item = step.token, step.scope, step.token.item
        given = {
            "inputs": token.inputs,
            "place": [item.index, item.key, [*item.path()]] if item is not None else None,
            "entries": {key: dict(entry) for key, entry in scope.entries(token).items()},
            GRAPH_STATE: served.serve(GRAPH_STATE, self._expected[GRAPH_STATE]),
            NODE_STATE: served.serve(NODE_STATE, self._expected[NODE_STATE]),
        }
        return StepInput(
            token=token.id,
            attempt=step.attempt,
            node=self._sent_reference,
            key=token.node,
            graph_id=scope.graph_id,
            run_id=scope.run_id,
            iteration=scope.iteration,
            idempotency_key=step.idempotency_key,
            lineage=token.lineage,
            deadline=step.deadline(),
            codec=self._codec_data,
            given=await self._codec.encode_async(given, f"what is sent to node {token.node!r}"),
            is_async=is_async,
            is_timed=step.is_timed(),
            is_checked=self._is_checked,
            is_watched=is_watched,
            has_inbox=scope.has_inbox,
        )

    async def _outcome(self, step: Step, result: StepResult, served: ServedState, held: HeldResult) -> Outcome:
        if not isinstance(result, StepResult) or (result.token, result.attempt) != (step.token.id, step.attempt):
            raise self._broken(step, "something other than the result of the step")
        try:
            return await self._understood(step, result, served, held)
        except SparkError:
            raise
        except Exception as error:
            raise self._broken(step, f"a result that makes no sense ({type(error).__name__}: {error})") from error

    def _broken(self, step: Step, what: str) -> ExecutorError:
        return ExecutorError(
            f"The executor {type(self._executor).__name__} returned {what} (attempt {step.attempt} of node {step.node!r}). Use "
            "releases of it and of spark-graphs that fit, here and where its workers run, or report this to its authors."
        )

    async def _understood(self, step: Step, result: StepResult, served: ServedState, held: HeldResult) -> Outcome:
        if result.kind == FAILED:
            return Failed(failure_from(result.error or _NO_ERROR, self._codec))
        if result.kind == CANCELLED:
            return Failed.escaped(step.node, asyncio.CancelledError())
        if result.kind not in (FINISHED, SUSPENDED) or result.content is None:
            raise ValueError(f"it is of the kind {result.kind!r}")
        content = await self._codec.decode_async(result.content, f"the result of node {step.node!r}")
        if result.kind == SUSPENDED:
            return Suspended({str(key): {**entry} for key, entry in content.items()})
        output, *both = content
        graph, node = [
            writes_from(data, writer=step.node, seen=served.seen[scope])
            for scope, data in zip((GRAPH_STATE, NODE_STATE), both or (None, None), strict=True)
        ]
        for scope, writes in ((GRAPH_STATE, graph), (NODE_STATE, node)):
            if writes is not None and writes.reads:
                self._expect(scope, writes.reads)
        return FinishedElsewhere(output, graph, node, held=held)

    def _expect(self, scope: str, keys: Mapping[str, int]) -> None:
        expected = self._expected[scope]
        for key in keys:
            if len(expected) < _MOST_EXPECTED:
                expected[key] = None


class HeldResult:
    """What an executor keeps for a result that is not committed yet.

    :param held: where it is known, until it is released.
    """

    def __init__(self, handle: StepHandle, held: set[HeldResult]) -> None:
        self._handle = handle
        self._among = held
        held.add(self)

    def release(self) -> None:
        """It is committed, or will never be."""
        if self in self._among:
            self._among.discard(self)
            with suppress(Exception):  # of a plugin, and nothing depends on it any more
                self._handle.release()
