"""Looks into the steps of a graph while it runs: counts their awaits, and ends the run at one of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from spark.graphs import Graph


class Dead(BaseException):
    """Ends a run as a kill would: nothing catches it, and nothing more is saved."""


@dataclass(frozen=True, slots=True)
class Step:
    """One execution of a node."""

    node: str
    """Its key."""
    execution: int
    """Which of the executions of this node it is, from 1."""
    waits: int
    """How often it awaited something that was not there yet."""


class Instruments:
    """Stands around the ``process`` of every async node of one graph.

    :param die_in: end the run in this step…
    :param at_wait: …when it waits for the nth time.
    """

    def __init__(self, graph: Graph, *, die_in: Step | None = None, at_wait: int = 0) -> None:
        self._die_in = die_in
        self._at_wait = at_wait
        self._executions: dict[str, int] = {}
        self._waits: dict[tuple[str, int], int] = {}
        for key, node in graph.nodes.items():
            process = node.process
            if inspect.iscoroutinefunction(process):
                node.process = self._around(key, process)

    def steps(self) -> list[Step]:
        """All executions, in the order in which they began."""
        return [Step(*step, waits) for step, waits in self._waits.items()]

    def _around(self, key: str, process: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(process)
        async def watched(*arguments: Any) -> Any:
            execution = self._executions[key] = self._executions.get(key, 0) + 1
            self._waits[key, execution] = 0
            step = self._die_in
            is_last = step is not None and (step.node, step.execution) == (key, execution)
            return await _Watched(self, (key, execution), process(*arguments), self._at_wait if is_last else 0)

        return watched

    def count_wait(self, step: tuple[str, int]) -> int:
        """One more await of this step; how many it has been."""
        self._waits[step] += 1
        return self._waits[step]


class _Watched:
    """A coroutine whose awaits are counted, and that ends at one of them."""

    def __init__(self, instruments: Instruments, step: tuple[str, int], coroutine: Any, die_at: int) -> None:
        self._instruments = instruments
        self._step = step
        self._coroutine = coroutine
        self._die_at = die_at

    def __await__(self) -> Generator[Any, Any, Any]:
        awaited = self._coroutine.__await__()
        resume: BaseException | None = None
        while True:
            try:
                waits_for = awaited.send(None) if resume is None else awaited.throw(resume)
            except StopIteration as end:
                return end.value
            resume = None
            if self._instruments.count_wait(self._step) == self._die_at:
                if waits_for is not None:
                    waits_for.cancel()  # or the event loop would say that nobody waited for it
                resume = Dead()
                continue
            try:
                yield waits_for
            except BaseException as error:
                resume = error
