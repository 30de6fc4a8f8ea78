"""The run of a step, as the step sees it in a worker: what was sent along, and the rest by messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Final

from spark.graphs.concurrency.nothing import NOTHING
from spark.graphs.definition.step import Step
from spark.graphs.executors import messages
from spark.graphs.executors.contract import StepLink
from spark.graphs.executors.messages import GRAPH_STATE, NODE_STATE, Message, StepInput
from spark.graphs.executors.references import Pack
from spark.graphs.executors.remote_line import Line
from spark.graphs.executors.values import ValueCodec
from spark.graphs.executors.writes import writes_data
from spark.graphs.state.journal import Entry
from spark.graphs.state.token import Token
from spark.graphs.state.transactions import StateWrites
from spark.graphs.state.updates import MISSING
from spark.graphs.values.snapshots import Check

_BETWEEN_BEATS: Final = 0.05
"""Seconds: signs of life that follow each other more closely are not sent."""


class RemoteStep(Step):
    """A step in the worker that executes it."""

    __slots__ = ("_beaten", "_link")

    def __init__(self, scope: RemoteScope, token: Token, link: StepLink) -> None:
        super().__init__(scope, token)
        self._link = link
        self._beaten = 0.0

    def beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten >= _BETWEEN_BEATS:
            self._beaten = now
            self._link.tell((messages.BEAT,))


class RemoteScope:
    """What a step sees of its run.

    :param given: what was sent along.
    :param pack: makes bytes of functions, if they don't travel by name.
    """

    def __init__(
        self, step: StepInput, given: Mapping[str, Any], *, link: StepLink, codec: ValueCodec, pack: Pack | None
    ) -> None:
        self.graph_id: str = step.graph_id
        self.run_id: str = step.run_id
        self.iteration: int = step.iteration
        self.has_inbox: bool = step.has_inbox
        self.is_stopping: bool = False
        self._input = step
        self._is_watched = step.is_watched
        self._ahead: float | None = None
        """How many seconds the run's clock is ahead of the monotonic one here. Asked for by the first step that needs it."""
        self._entries: dict[str, Entry] = given["entries"]
        self._line = Line(link, codec)
        self._pack = pack
        self._committing = asyncio.Lock()
        """Held by one commit at a time, so that they arrive in their order, however large they are."""
        check = codec.check if step.is_checked else None
        self.state: RemoteState = RemoteState("graph_state", GRAPH_STATE, given["graph"], line=self._line, check=check)
        self._node_state = RemoteState(
            f"node_states[{step.key!r}]", NODE_STATE, given["node"], line=self._line, check=check
        )
        self.task: asyncio.Task[Any] | None = None
        """What executes the step; None where it is executed without an event loop."""
        self.waits_to_emit: bool = False
        """Each value that it emits waits until there is room for it: the node is a plain function."""

    def node_state(self, key: str) -> RemoteState:
        return self._node_state

    def now(self) -> datetime:
        if self._ahead is None:
            self._ahead = float(self._line.ask((messages.NOW,))) - time.monotonic()
        return datetime.fromtimestamp(self._ahead + time.monotonic(), UTC)

    def entries(self, token: Token) -> Mapping[str, Entry]:
        return self._entries

    def is_in_step(self, token: Token) -> bool:
        return self.task is not None and asyncio.current_task() is self.task

    def emit(self, step: Step, value: Any, *, is_own: bool = False) -> Awaitable[None]:
        if not self._is_watched:
            return NOTHING
        message = (messages.EMIT, self._line.codec.encode(value, f"what node {step.node!r} emits"))
        if self.waits_to_emit:
            self._line.ask(message)
            return NOTHING
        return Emission(self._line, message)

    def around_call(self, step: Step, key: str) -> AbstractAsyncContextManager[Any] | None:
        if self._input.around is None:
            return None
        from spark.graphs.executors.surrounded import CallElsewhere  # few runs are traced

        return CallElsewhere(self._input, key, self._line)

    def around_elsewhere(self, step: Step) -> None:
        return None

    async def prepare_call(self) -> None:
        await self._line.ask_async((messages.PREPARE,))

    async def record(self, token: Token, key: str, entry: Entry) -> None:
        sent = await self._line.codec.encode_async(dict(entry), f"what node {token.node!r} records")
        await self._line.ask_async((messages.RECORD, key, sent))

    async def commit(self, token: Token, graph_writes: StateWrites | None, node_writes: StateWrites | None) -> None:
        # What the step does while this is committed is for the next commit.
        graph = graph_writes.take() if graph_writes is not None else None
        node = node_writes.take() if node_writes is not None else None
        try:
            async with self._committing:
                writes = [writes_data(graph, self._pack), writes_data(node, self._pack)]
                sent = await self._line.codec.encode_async(writes, f"what node {token.node!r} writes")
                await self._line.ask_async((messages.COMMIT, sent))
        except BaseException:
            for written, taken in ((graph_writes, graph), (node_writes, node)):
                if written is not None and taken is not None:
                    written.put_back(taken)
            raise
        finally:
            self.state.forget()
            self._node_state.forget()


class Emission:
    """A value that was sent to those who watch. Awaited, it waits until they have caught up."""

    def __init__(self, line: Line, message: Message) -> None:
        self._line = line
        line.tell(message)

    def __await__(self) -> Any:
        return self._line.ask_async((messages.ROOM,)).__await__()


class RemoteState:
    """The committed values of one scope, a ``StateView``. What was not sent along is asked for once."""

    commits: Final = 0  # what was seen when, the run knows, which sends the values

    def __init__(
        self, label: str, scope: str, known: Mapping[str, list[Any]], *, line: Line, check: Check | None
    ) -> None:
        self.label: str = label
        self.check: Check | None = check
        self.values: RemoteValues = RemoteValues(scope, known, line)

    def forget(self) -> None:
        """What is committed may be another from now on."""
        self.values.forget()


class RemoteValues(Mapping[str, Any]):
    """Key to value, by messages."""

    def __init__(self, scope: str, known: Mapping[str, list[Any]], line: Line) -> None:
        self._scope = scope
        self._line = line
        self._known: dict[str, list[Any]] = dict(known)
        """Key to a list of its value, which is empty where there is none."""
        self._keys: list[str] | None = None

    def get(self, key: str, default: Any = None) -> Any:
        found = self._known.get(key)
        if found is None:
            sent = self._line.ask((messages.READ, self._scope, key))
            found = self._known[key] = self._line.codec.decode(sent, f"the state {key!r}")
        return found[0] if found else default

    def __getitem__(self, key: str) -> Any:
        value = self.get(key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._all_keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all_keys())

    def __len__(self) -> int:
        return len(self._all_keys())

    def forget(self) -> None:
        """Ask for everything anew."""
        self._known, self._keys = {}, None

    def _all_keys(self) -> list[str]:
        if self._keys is None:
            keys: list[str] = self._line.ask((messages.KEYS, self._scope))
            self._keys = keys
        return self._keys
