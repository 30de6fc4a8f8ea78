"""What observers do around a node and its durable calls in the worker that executes them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from itertools import count
from typing import Any, Final, TypeAlias

from spark.graphs.events.activity import Activity, ActivityKind
from spark.graphs.events.surroundings import Surroundings
from spark.graphs.executors import messages
from spark.graphs.executors.failures import failure_data
from spark.graphs.executors.messages import StepInput
from spark.graphs.executors.references import imported_name
from spark.graphs.executors.remote_line import Line
from spark.hooks.plugin import Listener

Elsewhere: TypeAlias = Mapping[str, Mapping[str, str]]
"""The name of a function to the texts that it is called with: what ``Activity.elsewhere`` holds."""
_CALLS: Final = count(1)


def surrounded(kind: ActivityKind, step: StepInput, elsewhere: Elsewhere, *, name: str) -> AbstractContextManager[Any]:
    """What is entered in the worker. What fails there is logged, and changes nothing."""
    activity = Activity(
        kind=kind,
        name=name,
        graph_id=step.graph_id,
        run_id=step.run_id,
        iteration=step.iteration,
        node=step.key,
        attempt=step.attempt,
        idempotency_key=step.idempotency_key,
    )
    listeners = [Listener(name, partial(_entered, name, texts), ()) for name, texts in elsewhere.items()]
    return Surroundings(listeners).around(activity)


def _entered(name: str, texts: Mapping[str, str], activity: Activity) -> AbstractContextManager[Any]:
    manager: AbstractContextManager[Any] = imported_name(name)(texts)
    return manager


class CallElsewhere:
    """A durable call that a step makes in a worker: the run does around it what it does around one in its event loop."""

    def __init__(self, step: StepInput, key: str, line: Line) -> None:
        self._step = step
        self._key = key
        self._line = line
        self._number = next(_CALLS)
        self._around: AbstractContextManager[Any] | None = None

    async def __aenter__(self) -> None:
        elsewhere = await self._line.ask_async((messages.CALL, self._number, self._key))
        if elsewhere:
            self._around = surrounded("call", self._step, elsewhere, name=self._key)
            self._around.__enter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._around is not None:
            self._around.__exit__(kind, error, trace)
        is_cancelled = isinstance(error, asyncio.CancelledError)
        failure = failure_data(error, self._line.codec) if error is not None and not is_cancelled else None
        self._line.tell((messages.CALLED, self._number, is_cancelled, failure))
