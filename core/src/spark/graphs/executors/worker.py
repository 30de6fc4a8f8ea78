"""The side of the worker: execute a step that was sent, and make plain data of how it ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any, Final

from spark.errors import SerializationError
from spark.graphs.concurrency.blocking import run_blocking
from spark.graphs.engine.outcome import Cancelled, Failed, Finished, Outcome, Suspended
from spark.graphs.engine.step_runner import StepRunner
from spark.graphs.executors.contract import StepLink
from spark.graphs.executors.failures import failure_data
from spark.graphs.executors.messages import ARGUMENTS, CANCELLED, FAILED, FINISHED, SUSPENDED, StepInput, StepResult
from spark.graphs.executors.references import Pack, plan_of
from spark.graphs.executors.remote_line import Line
from spark.graphs.executors.remote_scope import RemoteScope, RemoteStep
from spark.graphs.executors.values import ValueCodec, codec_of, is_large
from spark.graphs.executors.writes import writes_data
from spark.graphs.state.groups import Place
from spark.graphs.state.token import Token

_RUNNERS: Final[dict[Hashable, StepRunner]] = {}
"""What executes the nodes that this worker has executed before."""
_MOST_RUNNERS: Final = 1_000


class WorkerStep:
    """One step, in the worker that executes it. ``run`` and ``run_async`` raise nothing but a ``CancelledError`` of the caller.

    :param link: how it reaches its run.
    :param pack: makes bytes of functions, where the executor packs code.
    :param hint: what to do where the node can't be imported here, for the error.
    """

    def __init__(self, step: StepInput, link: StepLink, *, pack: Pack | None = None, hint: str = "") -> None:
        self._step = step
        self._link = link
        self._pack = pack
        self._hint = hint
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Outcome] | None = None
        self._is_cancelled = False
        self._lock = threading.Lock()

    def load(self) -> None:
        """Import the node, if this worker has not done so before: that takes none of the time that the step may take."""
        with suppress(Exception):  # which the execution says
            self._loaded()

    def run(self, loop: asyncio.Runner | None = None) -> StepResult:
        """Execute it in this thread: a plain node without an event loop, so that it may start one itself.

        :param loop: where, if the thread keeps an event loop for all of its steps; else it gets one of its own.
        """
        if loop is None:
            with asyncio.Runner() as own:
                return self.run(own)
        if self._step.is_async:
            # Not loop.run(): to have Ctrl-C cancel the step takes that as long as all of the rest.
            return loop.get_loop().run_until_complete(self.run_async())
        try:
            codec, runner = self._loaded()
            scope, token = self._opened(codec.decode(self._step.given, self._what_was_sent), codec)
        except Exception as error:
            return self._failed(error)
        if self._is_cancelled:
            return self._result(CANCELLED)
        scope.waits_to_emit = True
        with self._surrounded():
            outcome = _run_plainly(runner.execute(RemoteStep(scope, token, self._link)), loop)
        return self._result_of(outcome, codec)

    async def run_async(self) -> StepResult:
        """Execute it in the running event loop: a plain node holds that up while it runs."""
        try:
            codec, runner = self._loaded()
            scope, token = self._opened(await codec.decode_async(self._step.given, self._what_was_sent), codec)
        except Exception as error:
            return self._failed(error)
        execution = runner.execute(RemoteStep(scope, token, self._link))
        if self._is_cancelled:
            execution.close()
            return self._result(CANCELLED)
        with self._surrounded():
            if runner.is_async(self._step.key):
                outcome = await self._in_task(execution, scope)
            else:
                scope.waits_to_emit, scope.task = True, asyncio.current_task()
                outcome = await execution
        if isinstance(outcome, Finished) and is_large(outcome.output):
            return await run_blocking(self._result_of, outcome, codec)
        return self._result_of(outcome, codec)

    def cancel(self) -> None:
        """Cancel an async node, from any thread. A plain one can't be stopped; it is not begun if it has not begun yet."""
        with self._lock:
            self._is_cancelled = True
            if self._task is not None and self._loop is not None:
                with suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._task.cancel)

    async def _in_task(self, execution: Coroutine[Any, Any, Outcome], scope: RemoteScope) -> Outcome:
        """Execute it in a task of its own, which can be cancelled."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._task = scope.task = asyncio.ensure_future(execution)
            if self._is_cancelled:
                self._task.cancel()
        try:
            return await self._task
        except asyncio.CancelledError:
            if not self._task.cancelled():
                self._task.cancel()
                raise
            return Cancelled(asyncio.CancelledError())

    def _surrounded(self) -> AbstractContextManager[Any]:
        step = self._step
        if not step.around:
            return nullcontext()
        from spark.graphs.executors.surrounded import surrounded  # few runs are traced

        return surrounded("step", step, step.around, name=step.key)

    @property
    def _what_was_sent(self) -> str:
        return f"what was sent to node {self._step.key!r}"

    def _loaded(self) -> tuple[ValueCodec, StepRunner]:
        codec = codec_of(self._step.codec)
        return codec, self._runner(codec)

    def _opened(self, given: Mapping[str, Any], codec: ValueCodec) -> tuple[RemoteScope, Token]:
        step = self._step
        token = Token(step.token, given["inputs"], step.key, step.lineage, None, step.token, failures=step.attempt - 1)
        if given["place"] is not None:
            index, key, path = given["place"]
            token.item = Place(index, key, tuple(path))
        return RemoteScope(step, given, link=self._link, codec=codec, pack=self._pack), token

    def _runner(self, codec: ValueCodec) -> StepRunner:
        """What executes the node; made once for each."""
        reference, key = self._step.node, self._step.key
        known = reference.identity(), key
        runner = _RUNNERS.get(known)
        if runner is None:
            if len(_RUNNERS) >= _MOST_RUNNERS:
                _RUNNERS.clear()
            if reference.is_apart:
                reference = reference.completed(Line(self._link, codec).ask((ARGUMENTS,)))
            plan = plan_of(reference, key, codec, hint=self._hint)
            runner = _RUNNERS[known] = StepRunner({key: plan}, threads=1, pools={key: None})
        return runner

    def _result_of(self, outcome: Outcome, codec: ValueCodec) -> StepResult:
        if isinstance(outcome, Failed):
            return self._failed(outcome.error)
        if isinstance(outcome, Cancelled):
            return self._result(CANCELLED)
        key = self._step.key
        try:
            if isinstance(outcome, Suspended):
                waits = {name: dict(entry) for name, entry in outcome.waits.items()}
                return self._result(SUSPENDED, content=codec.encode(waits, f"what node {key!r} waits for"))
            return self._finished(outcome, codec)
        except Exception as error:
            return self._failed(error)

    def _finished(self, outcome: Finished, codec: ValueCodec) -> StepResult:
        graph, node = writes_data(outcome.graph_writes, self._pack), writes_data(outcome.node_writes, self._pack)
        key = self._step.key
        parts = [outcome.output] if graph is None and node is None else [outcome.output, graph, node]
        try:
            content = codec.encode(parts, f"(output and writes of node {key!r})")
        except SerializationError:
            codec.check(outcome.output, f"(the output of node {key!r})")  # whose error has a path without the parts
            raise
        return self._result(FINISHED, content=content)

    def _failed(self, error: BaseException) -> StepResult:
        codec = None
        with suppress(Exception):  # which may be the error
            codec = codec_of(self._step.codec)
        return self._result(FAILED, error=failure_data(error, codec))

    def _result(self, kind: str, **more: Any) -> StepResult:
        return StepResult(self._step.token, self._step.attempt, kind, **more)


def _run_plainly(executing: Coroutine[Any, Any, Outcome], loop: asyncio.Runner) -> Outcome:
    """The outcome of a plain node that runs without an event loop; what it returns may be awaited in one."""
    resume: Callable[[], Any] = partial(executing.send, None)
    try:
        while True:
            awaited = resume()
            try:
                resume = partial(executing.send, loop.run(_awaited(awaited)))
            except BaseException as error:
                resume = partial(executing.throw, error)
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome
    except Exception as error:
        return Failed(error)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def execute_step(step: StepInput, link: StepLink, *, pack: Pack | None = None) -> StepResult:
    """Execute a step in this thread. Never raises: that it failed is a result as well."""
    return WorkerStep(step, link, pack=pack).run()
