"""What ``spark worker`` does: resume what can continue in a store, and tell what became of it."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spark.errors import GraphDefinitionError
from spark_cli.running.endings import waits_of
from spark_cli.stores import opened_store
from spark_cli.terminal.output import tell, tell_lines
from spark_cli.terminal.showing import counted
from spark_cli.views.failures import traceback_of

if TYPE_CHECKING:
    from spark.graphs import Graph, Message
    from spark.graphs.checkpoint import CheckpointBackend, Claim, Recovery, RunInfo


class Worker:
    """Resumes runs of one store.

    :param build: makes the graph for a graph id.
    :param stop: once it is set, runs end at their next boundaries.
    :param grace: seconds that running nodes get to finish then.
    """

    def __init__(
        self,
        build: Callable[[str], Any],
        url: str,
        *,
        concurrency: int,
        prefix: str,
        claim: Claim,
        stop: asyncio.Event,
        grace: float,
    ) -> None:
        self._build = build
        self._url = url
        self._claim = claim.named()
        self._options: dict[str, Any] = {
            "limit": concurrency,
            "prefix": prefix,
            "claim": self._claim,
            "stop": stop,
            "grace": grace,
        }

    async def once(self) -> Recovery[Message]:
        """Resume what can continue now."""
        from spark.graphs.checkpoint import CheckpointManager

        async with opened_store(self._url, create=True) as store:
            recovery: Recovery[Message] = await CheckpointManager(store).resume_all(
                lambda graph_id: built(self._build, graph_id, store), **self._options
            )
        for graph_id, error in recovery.failed.items():
            _tell_failure(graph_id, error)
        drained = sum(message.status == "drained" for message in recovery.resumed.values())
        if drained:
            tell(f"spark: {counted(drained, 'run')} stopped where they can be resumed, as the next call does.")
        return recovery

    async def again_and_again(self, *, every: float, idle_exit: float | None, quiet: bool) -> dict[str, int]:
        """Resume what can continue, until this is stopped or idle. Returns how many runs ended how.

        :param every: seconds from a look that found nothing to the next one.
        :param idle_exit: it is idle when there was nothing to do for so many seconds.
        :param quiet: tell only of what fails.
        """
        from spark.graphs.checkpoint import CheckpointManager

        counts = Counter[str]()

        def note(run: RunInfo, outcome: Message | Exception | str | None) -> None:
            if isinstance(outcome, Exception):
                counts["failed"] += 1
                _tell_failure(run.graph_id, outcome)
            elif outcome is not None:
                counts["left to others" if isinstance(outcome, str) else outcome.status] += 1
            if not quiet and not isinstance(outcome, Exception):
                tell(f"spark: {run.graph_id}: {_in_words(run, outcome)}")

        async with opened_store(self._url, create=True) as store:
            limit = counted(self._options["limit"], "run")
            tell(
                f"spark: worker {self._claim.owner!r} resumes what can continue in the {store.name} store, {limit} at a time."
            )
            await CheckpointManager(store).work(
                lambda graph_id: built(self._build, graph_id, store),
                every=every,
                idle_exit=idle_exit,
                tell=note,
                **self._options,
            )
        return counts


def report(recovery: Recovery[Message]) -> dict[str, Any]:
    """What became of runs, as JSON can have it."""
    return {
        "resumed": {
            graph_id: {"status": message.status, **waits_of(message)} for graph_id, message in recovery.resumed.items()
        },
        "failed": {graph_id: f"{type(error).__name__}: {error}" for graph_id, error in recovery.failed.items()},
        "skipped": recovery.skipped,
    }


async def built(build: Callable[[str], Any], graph_id: str, store: CheckpointBackend) -> Graph:
    """The graph for this id, which makes its checkpoints in the store."""
    from spark.graphs import Graph
    from spark.graphs.checkpoint import CheckpointConfig

    made = build(graph_id)
    graph = await made if inspect.isawaitable(made) else made
    if not isinstance(graph, Graph):
        raise GraphDefinitionError(
            f"The function that makes the graph returned {graph!r} for {graph_id!r}; return a Graph: "
            "return Graph(start, id=graph_id)."
        )
    config = graph.checkpoint_config or CheckpointConfig()
    return graph.with_checkpoints(replace(config, backend=store, enabled=True))


def _in_words(run: RunInfo, outcome: Message | str | None) -> str:
    if outcome is None:
        return f"taken up: it was {run.status}, {counted(run.iteration, 'step')} done"
    if isinstance(outcome, str):
        return f"left alone: {outcome}"
    if outcome.interrupts:
        return f"interrupted, with {counted(len(outcome.interrupts), 'open question')}"
    if outcome.status == "waiting":
        return f"waiting until {outcome.due:%Y-%m-%d %H:%M:%S} UTC" if outcome.due else "waiting for a signal"
    return outcome.status


def _tell_failure(graph_id: str, error: Exception) -> None:
    tell(f"spark: the run of graph {graph_id!r} failed:")
    tell_lines(traceback_of(error))
