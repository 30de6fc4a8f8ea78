"""A view of a run on standard error: one line that changes on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

from spark.graphs import Graph, Progress
from spark_cli.output import one_line, tell

_BLINK: Final = 0.1
_PLAIN: Final = 5.0
"""Seconds between two looks, on a terminal and elsewhere."""


@asynccontextmanager
async def watched(graph: Graph) -> AsyncIterator[None]:
    """Show how far a graph is while it runs, and how far it came."""
    with _view() as (show, pause):
        watching = asyncio.create_task(_watch(graph, show, pause), name="spark run: watching")
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    if graph.progress is not None:
        tell(line(graph.progress))


def line(progress: Progress) -> str:
    """Where a run stands, in a line."""
    parts = [f"{progress.iteration} steps"]
    if progress.running:
        parts.append(f"running {', '.join(progress.running[:5])}{' …' if len(progress.running) > 5 else ''}")
    elif progress.last_node is not None:
        parts.append(f"last {progress.last_node}")
    if progress.waiting:
        parts.append(f"{progress.waiting} waiting")
    if progress.checkpoint is not None:
        parts.append(f"checkpoint {progress.checkpoint}")
    return " · ".join(parts)


async def _watch(graph: Graph, show: Callable[[str], None], pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        if graph.progress is not None:
            show(line(graph.progress))


@contextmanager
def _view() -> Iterator[tuple[Callable[[str], None], float]]:
    if not sys.stderr.isatty():
        yield tell, _PLAIN
        return
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("starting", total=None)
        yield lambda text: bars.update(task, description=one_line(text)), _BLINK
