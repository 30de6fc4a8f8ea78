"""One run of a graph by the command: run it, watch it, and say how it ended, whatever happens."""

from __future__ import annotations

import contextlib
from asyncio import CancelledError
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from spark.errors import SparkError
from spark_cli.existing import load
from spark_cli.exit_codes import FAILED, refuse
from spark_cli.running.endings import WayOn, code_of, result_of
from spark_cli.running.signals import Stopping
from spark_cli.running.watching import watched
from spark_cli.terminal.output import say_json, tell, tell_lines
from spark_cli.views.failures import in_lines, traceback_of

if TYPE_CHECKING:
    from spark.graphs import Graph, Message
    from spark.graphs.checkpoint import GraphCheckpoint
    from spark_cli.running.view import RunView


class OneRun:
    """A run of a graph.

    :param inputs: of the start node, if any were given.
    :param how: further arguments of ``Graph.run``.
    :param start_from: the id of the checkpoint to continue from, if one was named.
    :param emitted: show what nodes emit, and not how far they are.
    """

    def __init__(
        self,
        graph: Graph,
        way_on: WayOn,
        inputs: dict[str, Any] | None,
        how: dict[str, Any],
        *,
        start_from: str,
        emitted: bool,
    ) -> None:
        self._graph = graph
        self._way_on = way_on
        self._inputs = inputs
        self._how = how
        self._start_from = start_from
        self._emitted = emitted
        self._view: RunView | None = None

    def carry_out(self, *, grace: float) -> NoReturn:
        """Run it, and end the command.

        :param grace: seconds that running nodes get to finish after a signal.
        """
        if self._start_from and self._graph.checkpoint_backend is None:
            refuse("--from needs a store: give --url, or set SPARK_CHECKPOINT_URL.")
        stopping = Stopping(
            lambda: self._graph.drain(stopping.received[0].name, grace=grace),
            says=f"the run stops at its next boundary, within {grace:g} s. A second signal cancels it, a third one kills.",
        )
        stopping.wait_for(self._run(), show=self._show)

    async def _run(self) -> Message | None:
        """The outcome; None when a node raised, which is shown as Python does."""
        try:
            return await self._outcome()
        except (CancelledError, SystemExit, SparkError) as error:
            # The run may have ended, and its store may have been in the middle of closing.
            for note in self._last_words():
                error.add_note(note)
            raise

    async def _outcome(self) -> Message | None:
        began = datetime.now(UTC)
        try:
            if self._start_from:
                self._how["resume"] = await self._chosen_checkpoint()
            return await self._watched_run()
        except (SparkError, typer.Exit):  # what was named does not exist
            raise
        except Exception as error:
            tell_lines(traceback_of(error, with_note=False))  # what it says, the command says as well
            await self._tell_failure(since=began)
            for text in self._last_words():
                tell(f"spark: {text}")
            return None
        finally:
            if self._graph.checkpoint_backend is not None:
                await self._graph.checkpoint_backend.close()

    async def _watched_run(self) -> Message:
        async with watched(self._graph, emitted=self._emitted) as self._view:
            store = self._graph.checkpoint_backend
            claim = store is not None and store.persistent  # others can see it
            return await self._graph.run(self._inputs, **self._how, claim=claim)

    async def _chosen_checkpoint(self) -> GraphCheckpoint:
        """The one to continue from; says so where others come after it."""
        from spark.graphs.checkpoint import CheckpointManager

        store = self._graph.checkpoint_backend
        assert store is not None
        chosen = await load(store, self._start_from)
        latest = await CheckpointManager(store).history(chosen.graph_id, limit=1, newest_first=True)
        if chosen.sequence is not None and any(entry.sequence > chosen.sequence for entry in latest):
            tell(f"spark: a new branch begins at {chosen.checkpoint_id}; the checkpoints after it stay.")
        return chosen

    def _show(self, message: Message | None) -> int:
        """Show the result; returns the exit code."""
        if message is None:
            return FAILED
        say_json(result_of(self._graph, message))
        for text in (*self._ending(), *self._way_on.lines(message)):
            tell(f"spark: {text}")
        return code_of(message)

    def _last_words(self) -> list[str]:
        """Of a run that has begun and did not return."""
        ending = self._ending()
        return [*ending, f"to resume it: {self._way_on.resume()}"] if ending and self._way_on.is_possible() else ending

    def _ending(self) -> list[str]:
        stands = self._graph.progress if self._way_on.is_possible() else None
        text = self._view.ending(stands) if self._view is not None else None
        return [text] if text is not None else []

    async def _tell_failure(self, *, since: datetime) -> None:
        """Show what the checkpoint of the failure says and a traceback does not: the node and the attempt."""
        from spark.graphs.checkpoint import CheckpointManager

        if self._graph.checkpoint_backend is None:
            return
        manager = CheckpointManager(self._graph.checkpoint_backend)
        with contextlib.suppress(SparkError):  # what matters was told
            for entry in await manager.history(self._graph.graph_id, limit=1, newest_first=True):
                if entry.info is not None and entry.reason == "failed" and entry.info.timestamp >= since:
                    stored = await manager.load_checkpoint(entry.info.checkpoint_id, raw=True)
                    for line in [*in_lines(stored.execution_metadata.get("error"))][:2]:
                        tell(f"spark: {line}")
