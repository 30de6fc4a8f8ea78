"""Who is notified of checkpoints: the user's handlers, observers of plugins, and plugins' hooks for the same events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from functools import cache
from inspect import isawaitable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from spark.graphs.checkpoint.links import link
from spark.graphs.checkpoint.observers.handlers import CheckpointHandler, HandlerErrors
from spark.graphs.concurrency.blocking import run_blocking
from spark.graphs.concurrency.uncancellable import is_being_cancelled
from spark.graphs.values.failures import add_note

if TYPE_CHECKING:
    from spark.graphs.checkpoint.model import GraphCheckpoint
    from spark.graphs.checkpoint.observers.told import Told
    from spark.graphs.checkpoint.records.info import CheckpointInfo
    from spark.hooks.discovery import Found
    from spark.hooks.plugin import Listener

Arguments = dict[str, Any]

_LOG: Final = logging.getLogger("spark.checkpoint")


@cache
def _plugins() -> ModuleType:
    from spark.graphs.checkpoint.observers import told  # a program that only imports the library need not wait for it

    return told


class Observers:
    """All handlers of one graph or manager, the installed observers, and the plugins that listen to the same events."""

    def __init__(self, handlers: Iterable[CheckpointHandler] = (), *, errors: HandlerErrors = "log") -> None:
        self._given = tuple(handlers)
        self._errors = errors
        self._found: Found | None = None
        """What was installed when ``_told`` was made."""
        self._told: dict[str, list[Told]] = {}
        """By event, whose methods are called, in this order."""
        self._heard: frozenset[str] = frozenset()
        """The events that anybody is notified of."""

    @classmethod
    def of(cls, handler: Any, *, errors: HandlerErrors = "log", place: str = "handler=…") -> Observers:
        """Those that a user passed as ``handler=``, as ``chosen_handlers`` takes them.

        :raises GraphDefinitionError: one of them is no handler.
        :raises PluginError: no plugin provides a name.
        """
        from spark.graphs.checkpoint.observers.choosing import chosen_handlers  # not needed by those who have none

        return cls(chosen_handlers(handler, place=place), errors=errors)

    @property
    def are_given(self) -> bool:
        """Whether a user has given some."""
        return bool(self._given)

    async def discover(self) -> None:
        """Find the plugins that listen: off the event loop, because the first time loads them."""
        if _plugins().is_ready(self._given):
            self._look()
        else:
            await run_blocking(self._look)

    def heard(self) -> frozenset[str]:
        """The events that anybody is notified of, for instance ``spark_checkpoint_created``."""
        if self._found is None or self._found is not _plugins().found():
            self._look()
        return self._heard

    def watch(self, graph_id: str) -> bool:
        """Whether anybody watches a run of this graph that is about to begin."""
        heard = self.heard()
        return any(event in heard and self.listening(event, graph_id) for event in ("spark_run_event", "around"))

    def listening(self, event: str, graph_id: str) -> list[Listener]:
        """All who watch a run of this graph that is about to begin: methods of handlers and observers, and hooks of plugins."""
        methods = [told.listener for told in self._methods_for(event) if told.watches(graph_id)]
        return [*methods, *(_plugins().listeners(event) if event.startswith("spark_") else ())]

    async def created(self, checkpoint: GraphCheckpoint, info: CheckpointInfo, *, store: object) -> None:
        """A checkpoint is durable in this store. Whoever restores a graph from what they get here continues there."""

        def arguments() -> Arguments:
            return {"checkpoint": link(checkpoint.isolated(), store=store), "info": info}

        await self._notify("spark_checkpoint_created", info.graph_id, arguments)

    async def restored(self, checkpoint: GraphCheckpoint) -> None:
        """A run continues from a checkpoint."""
        await self._notify(
            "spark_checkpoint_restored", checkpoint.graph_id, lambda: {"checkpoint": checkpoint.isolated()}
        )

    async def deleted(self, infos: Iterable[CheckpointInfo]) -> None:
        """These checkpoints were deleted. What a handler raises is raised when all have been reported."""
        if self._found is None:
            await self.discover()
        if "spark_checkpoint_deleted" not in self.heard():
            return
        failures = []
        for info in infos:
            gone = {"checkpoint_id": info.checkpoint_id, "graph_id": info.graph_id}
            try:
                await self._notify("spark_checkpoint_deleted", info.graph_id, lambda gone=gone: gone)  # type: ignore[misc]
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def failed(self, graph_id: str, error: BaseException) -> None:
        """A checkpoint could not be made. What a handler raises is only logged: the run ends with this error."""
        await self._notify(
            "spark_checkpoint_failed", graph_id, lambda: {"graph_id": graph_id, "error": error}, errors="log"
        )

    async def _notify(
        self, event: str, graph_id: str, arguments: Callable[[], Arguments], *, errors: HandlerErrors | None = None
    ) -> None:
        for told in self._methods_for(event):
            if told.is_own:
                await self._tell_own(told.listener, event, arguments(), errors=errors or self._errors)
            elif told.fits(graph_id):
                await _plugins().tell(told.listener, event, arguments())
        if _plugins().listeners(event):
            await _plugins().fire(event, **arguments())

    async def _tell_own(self, listener: Listener, event: str, arguments: Arguments, *, errors: HandlerErrors) -> None:
        try:
            await _call(listener, arguments)
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            method = event.replace("spark_", "on_", 1)
            if errors == "raise" or (isinstance(error, asyncio.CancelledError) and is_being_cancelled()):
                add_note(error, f"raised by the {listener.plugin} in {method}.")
                raise
            _LOG.exception(
                "The %s failed in %s; the run continues. To stop it, pass handler_errors='raise'.",
                listener.plugin,
                method,
            )

    def _methods_for(self, event: str) -> Sequence[Told]:
        if self._found is None or self._found is not _plugins().found():
            self._look()
        return self._told.get(event, ())

    def _look(self) -> None:
        """Find out whose methods are called."""
        plugins = _plugins()
        found = plugins.found()
        self._told = plugins.told_by(self._given, found) if self._given or found.observers else {}
        self._heard = found.heard.union(self._told) if self._told else found.heard
        self._found = found


async def _call(listener: Listener, arguments: Arguments) -> None:
    """Call a handler of the user's own, and wait for it however long it takes; a plain function in a thread."""
    call = listener.call_with(arguments)
    returned = call() if listener.is_async else await run_blocking(copy_context().run, call)
    if isawaitable(returned):
        await returned
