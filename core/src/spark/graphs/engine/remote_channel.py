"""What a step that runs elsewhere tells and asks: handled one after the other, in the event loop of its run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Final

from spark.errors import ExecutorError
from spark.graphs.concurrency.blocking import run_blocking
from spark.graphs.concurrency.nothing import NOTHING
from spark.graphs.definition.step import AroundElsewhere, Step
from spark.graphs.executors import messages
from spark.graphs.executors.failures import failure_data, failure_from
from spark.graphs.executors.messages import GRAPH_STATE, NODE_STATE, Message
from spark.graphs.executors.references import NodeReference
from spark.graphs.executors.values import Sent, ValueCodec, is_large
from spark.graphs.executors.writes import writes_from
from spark.graphs.state.transactions import StateView
from spark.graphs.state.updates import MISSING

Reply = Callable[[Any], object]
_OVER: Final = "The run no longer waits for this step: it ended, or its time was up. What it does from now on is lost."


class ServedState:
    """What a step gets to see of the states, and when it was served each key."""

    def __init__(self, step: Step, codec: ValueCodec) -> None:
        self._views: dict[str, StateView] = {
            GRAPH_STATE: step.scope.state,
            NODE_STATE: step.scope.node_state(step.node),
        }
        self._codec = codec
        self.seen: dict[str, dict[str, int]] = {GRAPH_STATE: {}, NODE_STATE: {}}
        """Scope and key to the number of the commit up to which the step has seen it."""

    def serve(self, scope: str, keys: Iterable[str]) -> dict[str, list[Any]]:
        """Key to a list of its committed value, empty where there is none."""
        view, seen = self._views[scope], self.seen[scope]
        found: dict[str, list[Any]] = {}
        for key in keys:
            seen.setdefault(key, view.commits)
            value = view.values.get(key, MISSING)
            found[key] = [] if value is MISSING else [value]
        return found

    def keys(self, scope: str) -> list[str]:
        """The keys of a scope."""
        return [*self._views[scope].values]

    def restart(self) -> dict[str, dict[str, int]]:
        """The step commits a part: what it reads from now on, it sees anew. Returns what it had seen."""
        seen, self.seen = self.seen, {GRAPH_STATE: {}, NODE_STATE: {}}
        return seen

    def put_back(self, seen: dict[str, dict[str, int]]) -> None:
        """It could not be committed."""
        for scope, keys in seen.items():
            self.seen[scope] |= keys


class RemoteChannel:
    """A ``StepChannel``. Messages are handled in the order in which they come; large ones are decoded in a thread.

    :param served: what the step has been sent of the states.
    :param node: all of it, whatever of it was sent.
    :param around: what is done around durable calls; None if nothing is.
    """

    def __init__(
        self,
        step: Step,
        codec: ValueCodec,
        served: ServedState,
        *,
        node: NodeReference,
        around: AroundElsewhere | None = None,
    ) -> None:
        self._step = step
        self._codec = codec
        self._served = served
        self._node = node
        self._around = around
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        """That of the step: what is done for it is seen to be within it, as by tracing."""
        self._is_closed = False
        self._asking: set[asyncio.Task[Any]] = set()
        """What was asked and takes a while."""
        self._decoding: asyncio.Task[None] | None = None
        """Decodes a large message, and then handles those that came after it."""
        self._following: deque[tuple[Message, Reply | None]] = deque()
        self._error: Exception | None = None
        """Why something that the step told can't be read."""
        self._room: Awaitable[None] = NOTHING
        """Waits until those who watch have caught up with what the step emitted last."""

    def began(self) -> None:
        self._in_loop(self._begin)

    def tell(self, message: Message) -> None:
        self._in_loop(self._take, message, None)

    def ask(self, message: Message, reply: Reply) -> None:
        if not self._in_loop(self._take, message, reply):
            reply(_refusal())

    async def until_handled(self) -> None:
        """Wait until everything that has come is handled.

        :raises DeserializationError: something that the step told can't be read here.
        """
        while self._decoding is not None:
            await asyncio.wait([self._decoding])
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Nothing that comes from now on counts."""
        self._is_closed = True
        for task in self._asking:
            task.cancel()
        if self._decoding is not None:
            self._decoding.cancel()
        while self._following:
            self._take(*self._following.popleft())
        if self._around is not None:
            self._around.close()

    async def until_ended(self) -> None:
        """Closed, wait until no thread decodes anything any more."""
        if self._decoding is not None:
            await asyncio.wait([self._decoding])

    def _in_loop(self, call: Callable[..., object], *arguments: Any) -> bool:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(call, *arguments, context=self._context)
            return True
        return False

    def _begin(self) -> None:
        if not self._is_closed:
            self._step.begin()

    def _take(self, message: Message, reply: Reply | None) -> None:
        if self._is_closed:
            if reply is not None:
                reply(_refusal())
            return
        self._step.beat()
        if message[0] == messages.BEAT:
            return
        if self._decoding is not None:
            self._following.append((message, reply))
        elif any(isinstance(part, Sent) and part.is_large for part in message):
            self._following.append((message, reply))
            self._decoding = asyncio.create_task(self._decode(), name="spark-graphs: large message")
        else:
            self._handle(message, reply)

    async def _decode(self) -> None:
        """Handle the first of those that follow, which is large, and those that have come meanwhile."""
        message, reply = self._following[0]
        try:
            self._following[0] = await run_blocking(self._decoded, message), reply
        except Exception as error:
            self._following.popleft()
            self._fail(error, reply)
        finally:
            self._decoding = None
        while self._following and self._decoding is None:
            self._take(*self._following.popleft())

    def _handle(self, message: Message, reply: Reply | None) -> None:
        try:
            kind, *parts = self._decoded(message)
            if kind == messages.EMIT and reply is None:
                self._room = self._step.scope.emit(self._step, *parts, is_own=True)
            elif kind == messages.CALLED and self._around is not None:
                self._around.end(parts[0], self._call_error(*parts[1:]))
            elif reply is None:
                pass  # of another release
            elif kind == messages.CALL:
                reply((True, self._around.begin(*parts) if self._around is not None else {}))
            elif kind == messages.KEYS:
                reply((True, self._served.keys(*parts)))
            elif kind == messages.NOW:
                reply((True, self._step.scope.now().timestamp()))
            elif kind == messages.ARGUMENTS:
                reply((True, self._node.arguments or self._node.packed))
            elif kind == messages.READ:
                self._read(*parts, reply=reply)
            else:
                self._reply_later(self._answer(kind, parts), reply)
        except Exception as error:
            self._fail(error, reply)

    def _decoded(self, message: Message) -> Message:
        what = f"what node {self._step.node!r} sends ({message[0]})"
        return tuple(self._codec.decode(part, what) if isinstance(part, Sent) else part for part in message)

    def _fail(self, error: Exception, reply: Reply | None) -> None:
        if reply is not None:
            reply((False, failure_data(error, self._codec)))
        else:
            self._error = self._error or error

    def _read(self, scope: str, key: str, *, reply: Reply) -> None:
        value, path = self._served.serve(scope, [key])[key], f"the state {key!r}"
        if is_large(value):
            self._reply_later(self._codec.encode_async(value, path), reply)
        else:
            reply((True, self._codec.encode(value, path)))

    def _reply_later(self, answer: Coroutine[Any, Any, Any], reply: Reply) -> None:
        task = asyncio.create_task(answer, name="spark-graphs: request of a step")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        task.add_done_callback(partial(self._reply_with, reply))

    def _reply_with(self, reply: Reply, task: asyncio.Task[Any]) -> None:
        """What became of a request. One that was cancelled before it began gets its reply, too."""
        if task.cancelled():
            reply(_refusal())
        elif (error := task.exception()) is not None:
            reply((False, failure_data(error, self._codec)))
        else:
            reply((True, task.result()))

    def _call_error(self, is_cancelled: bool, failure: Mapping[str, Any] | None) -> BaseException | None:
        if is_cancelled:
            return asyncio.CancelledError()
        return failure_from(failure, self._codec) if failure is not None else None

    async def _answer(self, kind: str, parts: list[Any]) -> None:
        step, scope = self._step, self._step.scope
        if kind == messages.EMIT:
            await scope.emit(step, *parts, is_own=True)
        elif kind == messages.ROOM:
            await self._room
        elif kind == messages.PREPARE:
            await scope.prepare_call()
        elif kind == messages.RECORD:
            await scope.record(step.token, *parts)
        elif kind == messages.COMMIT:
            await self._commit(*parts)
        else:
            raise ExecutorError(
                f"A worker asks for {kind!r}, which this release does not know. Upgrade both to one release."
            )

    async def _commit(self, both: list[Any]) -> None:
        step = self._step
        graph, node = [
            writes_from(data, writer=step.node, seen=self._served.seen[scope])
            for scope, data in zip((GRAPH_STATE, NODE_STATE), both, strict=True)
        ]
        seen = self._served.restart()
        try:
            await step.scope.commit(step.token, graph, node)
        except BaseException:
            self._served.put_back(seen)
            raise


def _refusal() -> tuple[bool, Any]:
    return False, failure_data(ExecutorError(_OVER))
