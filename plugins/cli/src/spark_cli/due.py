"""``spark run --due``: resume whatever is unfinished in a store and can go on now, and report what became of it."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spark_cli.endings import waits_of
from spark_cli.exit_codes import refuse
from spark_cli.output import tell, tell_lines
from spark_cli.showing import counted
from spark_cli.stores import opened_store
from spark_cli.targets import find_target

if TYPE_CHECKING:
    from spark.graphs import Graph, Message
    from spark.graphs.checkpoint import CheckpointBackend, Recovery


def builder(target: str) -> Callable[[str], Any]:
    """The function that ``module:name`` means, which makes the graph for a graph id."""
    build = find_target(target)
    try:
        inspect.signature(build).bind("graph id")
    except (TypeError, ValueError):
        refuse(
            f"--due needs a function that makes the graph for a graph id, and {target!r} is none. Write "
            "'def build(graph_id): return Graph(start, id=graph_id)', and name that."
        )
    return build  # type: ignore[no-any-return]


async def resume_due(
    build: Callable[[str], Any], url: str, *, limit: int, stop: asyncio.Event, grace: float
) -> Recovery[Message]:
    """Resume what is due in the store.

    :param stop: once it is set, runs end at their next boundaries.
    :param grace: seconds that running nodes get to finish then.
    """
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        recovery: Recovery[Message] = await CheckpointManager(store).resume_all(
            lambda graph_id: _built(build, graph_id, store), limit=limit, stop=stop, grace=grace
        )
    for graph_id, error in recovery.failed.items():
        tell(f"spark: the run of graph {graph_id!r} failed:")
        tell_lines("".join(traceback.format_exception(error)))
    drained = sum(message.status == "drained" for message in recovery.resumed.values())
    if drained:
        tell(f"spark: {counted(drained, 'run')} stopped where they can be resumed, as the next call does.")
    return recovery


def report(recovery: Recovery[Message]) -> dict[str, Any]:
    """The same as JSON can have it."""
    return {
        "resumed": {
            graph_id: {"status": message.status, **waits_of(message)} for graph_id, message in recovery.resumed.items()
        },
        "failed": {graph_id: f"{type(error).__name__}: {error}" for graph_id, error in recovery.failed.items()},
        "skipped": recovery.skipped,
    }


async def _built(build: Callable[[str], Any], graph_id: str, store: CheckpointBackend) -> Graph:
    """The graph for this id, which makes its checkpoints in the store."""
    from spark.graphs.checkpoint import CheckpointConfig

    made = build(graph_id)
    graph: Graph = await made if inspect.isawaitable(made) else made
    config = graph.checkpoint_config or CheckpointConfig()
    return graph.with_checkpoints(replace(config, backend=store, enabled=True))
