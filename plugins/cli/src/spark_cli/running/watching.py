"""Watching a run: a view that changes in place on a terminal, elsewhere a line now and then; or what nodes emit."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from spark_cli.running.view import RunView
from spark_cli.terminal.live import in_place
from spark_cli.terminal.output import plain, tell, tell_part
from spark_cli.terminal.screen import Screen

if TYPE_CHECKING:
    from spark.graphs import Graph, Progress
    from spark.graphs.events import Event

ShowProgress: TypeAlias = "Callable[[Progress], None]"

_ON_TERMINAL: Final = 0.1
_ELSEWHERE: Final = 5.0
"""Seconds between two views of a run."""
_NOTED: Final = ("run_resumed", "run_finished", "step_started", "step_retrying", "step_waiting", "checkpoint_made")


@asynccontextmanager
async def watched(graph: Graph, *, emitted: bool = False) -> AsyncIterator[RunView]:
    """Show how far the next run of a graph is, until the block is left.

    :param emitted: show what nodes emit, instead of a view that would be in the way of it.
    """
    view = RunView(graph.graph_id, began=datetime.now(UTC))
    with _view(view, in_lines=emitted) as (show, pause):
        tasks = [asyncio.create_task(_note(graph, view))]
        if emitted:
            tasks.append(asyncio.create_task(_show_emitted(graph)))
        else:
            tasks.append(asyncio.create_task(_show_progress(graph, show, pause)))
        await asyncio.sleep(0)  # now they watch
        try:
            yield view
        finally:
            await asyncio.sleep(0)  # now they have seen all
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task


async def _note(graph: Graph, view: RunView) -> None:
    async for event in graph.watch(only=_NOTED, commits="at_once"):
        view.note(event)
        if event.kind == "run_resumed":
            tell(f"spark: {view.beginning()}")


async def _show_progress(graph: Graph, show: ShowProgress, pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        if graph.progress is not None:
            show(graph.progress)


async def _show_emitted(graph: Graph) -> None:
    """Text as it comes, as that of a model; everything else as JSON in a line of its own."""
    is_in_line = False
    try:
        async for event in graph.watch(only="emitted", overflow="block"):
            value = _value(event)
            if isinstance(value, str):
                tell_part(value)
                is_in_line = not value.endswith("\n") if value else is_in_line
            else:
                tell_part(("\n" if is_in_line else "") + json.dumps(plain(value)) + "\n")
                is_in_line = False
    finally:
        if is_in_line:
            tell_part("\n")


def _value(event: Event) -> Any:
    return event.value  # type: ignore[attr-defined]


@contextmanager
def _view(view: RunView, *, in_lines: bool) -> Iterator[tuple[ShowProgress, float]]:
    """Shows progress, and says how many seconds to wait before it is shown again."""
    if in_lines or not Screen.of(sys.stderr).can_move:
        yield lambda progress: tell(view.line(progress)), _ELSEWHERE
        return
    with in_place(sys.stderr, stays=False) as show:
        yield lambda progress: show(view.lines(progress, now=datetime.now(UTC))), _ON_TERMINAL
