"""Who is notified of checkpoints: the user's handlers, and plugins that listen to the same events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.links import link
from spark.graphs.checkpoint.observers.handlers import CheckpointHandler, HandlerErrors
from spark.graphs.concurrency.blocking import run_blocking
from spark.graphs.concurrency.uncancellable import is_being_cancelled
from spark.graphs.values.failures import add_note

if TYPE_CHECKING:
    from spark.graphs.checkpoint.model import GraphCheckpoint
    from spark.graphs.checkpoint.records.info import CheckpointInfo

_LOG = logging.getLogger("spark.checkpoint")


@cache
def _events() -> ModuleType:
    from spark.hooks import events  # a program that only imports the library need not wait for it

    return events


class Observers:
    """All handlers of one graph or manager, and the plugins that listen."""

    def __init__(self, handlers: Iterable[CheckpointHandler] = (), *, errors: HandlerErrors = "log") -> None:
        self._handlers = tuple(handlers)
        self._errors = errors

    @classmethod
    def of(
        cls, handler: CheckpointHandler | Sequence[CheckpointHandler] | None, *, errors: HandlerErrors = "log"
    ) -> Observers:
        """Those that a user passed as ``handler=``.

        :raises GraphDefinitionError: one of them is no handler.
        """
        handlers = () if handler is None else tuple(handler) if isinstance(handler, Sequence) else (handler,)
        for one in handlers:
            if not isinstance(one, CheckpointHandler):
                raise GraphDefinitionError(
                    f"handler={one!r}: a handler is an instance of a CheckpointHandler subclass"
                    + ("; add () to make one." if isinstance(one, type) else ".")
                )
        return cls(handlers, errors=errors)

    async def discover(self) -> None:
        """Find the plugins that listen: off the event loop, because the first time loads them."""
        from spark.hooks import discovery

        if not discovery.has_found():
            await run_blocking(discovery.found)

    def listen_to(self, event: str) -> bool:
        """Whether anybody is notified of an event, for instance ``spark_checkpoint_created``."""
        return bool(self._handlers or _events().listeners(event))

    async def created(self, checkpoint: GraphCheckpoint, info: CheckpointInfo, *, store: object) -> None:
        """A checkpoint is durable in this store. Whoever restores a graph from what they get here continues there."""
        await self._call("on_checkpoint_created", lambda: link(checkpoint.isolated(), store=store))
        if _events().listeners("spark_checkpoint_created"):
            copy = link(checkpoint.isolated(), store=store)
            await _events().fire("spark_checkpoint_created", checkpoint=copy, info=info)

    async def restored(self, checkpoint: GraphCheckpoint) -> None:
        """A run continues from a checkpoint."""
        await self._call("on_checkpoint_restored", checkpoint.isolated)
        if _events().listeners("spark_checkpoint_restored"):
            await _events().fire("spark_checkpoint_restored", checkpoint=checkpoint.isolated())

    async def deleted(self, infos: Iterable[CheckpointInfo]) -> None:
        """These checkpoints were deleted. What a handler raises is raised when all have been reported."""
        if not self.listen_to("spark_checkpoint_deleted"):
            return
        failures = []
        for info in infos:
            try:
                await self._call("on_checkpoint_deleted", partial(str, info.checkpoint_id))
                await _events().fire(
                    "spark_checkpoint_deleted", checkpoint_id=info.checkpoint_id, graph_id=info.graph_id
                )
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def failed(self, graph_id: str, error: BaseException) -> None:
        """A checkpoint could not be made."""
        await _events().fire("spark_checkpoint_failed", graph_id=graph_id, error=error)

    async def _call(self, method: str, make_argument: Callable[[], Any]) -> None:
        for handler in self._handlers:
            try:
                await getattr(handler, method)(make_argument())
            except (Exception, SystemExit, asyncio.CancelledError) as error:
                if self._errors == "raise" or (isinstance(error, asyncio.CancelledError) and is_being_cancelled()):
                    add_note(error, f"raised by the handler {type(handler).__qualname__} in {method}.")
                    raise
                _LOG.exception(
                    "The handler %s failed in %s; the run continues. To stop it, pass handler_errors='raise'.",
                    type(handler).__qualname__,
                    method,
                )
