"""What is under way, on standard error: a bar for a count, and a line for a run, which changes in place on a terminal."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from spark_cli.output import one_line, tell

if TYPE_CHECKING:
    from spark.graphs import Graph, Progress

Report: TypeAlias = Callable[[int, int], None]
"""Called with how many are done, and how many there are."""

_ON_TERMINAL: Final = 0.1
_ELSEWHERE: Final = 5.0
"""Seconds between two views of a run."""


@contextmanager
def bar(doing: str) -> Iterator[Report]:
    """A progress bar, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@asynccontextmanager
async def watched(graph: Graph) -> AsyncIterator[None]:
    """Show how far a graph is while it runs, and how far it came in the end."""
    import asyncio  # not needed by those who show a bar, and slow to import

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
    parts += [
        f"{each.node} {each.done:,} of {each.done + each.running + each.waiting:,} items" for each in progress.maps[:5]
    ]
    if progress.running:
        nodes = list(dict.fromkeys(progress.running)) if progress.maps else progress.running
        parts.append(f"running {', '.join(nodes[:5])}{' …' if len(nodes) > 5 else ''}")
    elif progress.last_node is not None:
        parts.append(f"last {progress.last_node}")
    if progress.waiting:
        parts.append(f"{progress.waiting} waiting")
    if progress.checkpoint is not None:
        parts.append(f"checkpoint {progress.checkpoint}")
    return " · ".join(parts)


async def _watch(graph: Graph, show: Callable[[str], None], pause: float) -> None:
    import asyncio

    while True:
        await asyncio.sleep(pause)
        if graph.progress is not None:
            show(line(graph.progress))


@contextmanager
def _view() -> Iterator[tuple[Callable[[str], None], float]]:
    if not sys.stderr.isatty():
        yield tell, _ELSEWHERE
        return
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("starting", total=None)
        yield lambda text: bars.update(task, description=one_line(text)), _ON_TERMINAL
