"""What handlers and observers do around a run, a step, a durable call or a checkpoint."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from spark.graphs.events.activity import Activity
from spark.graphs.values.log_fields import log_fields
from spark.hooks.plugin import Listener

_LOG = logging.getLogger("spark.graphs")


class Surroundings:
    """Enters what they return before an activity begins, and exits it after it has ended, in the same task.

    :param listeners: their methods ``around``.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners
        self._reported: set[str] = set()
        """Those whose failure was logged."""

    def __bool__(self) -> bool:
        return bool(self._listeners)

    @contextmanager
    def around(self, activity: Activity) -> Iterator[Activity]:
        """Whoever uses this says by ``activity.outcome`` how it ended; without that, whether it raised says it."""
        entered: list[tuple[Listener, Any]] = []
        for listener in self._listeners:
            with self._forgiving(listener, activity):
                manager = listener.function(activity)
                manager.__enter__()
                entered.append((listener, manager))
        try:
            yield activity
            activity.outcome = activity.outcome or "finished"
        except BaseException as error:
            is_cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
            activity.outcome, activity.error = "cancelled" if is_cancelled else "failed", error
            raise
        finally:
            for listener, manager in reversed(entered):
                with self._forgiving(listener, activity):
                    manager.__exit__(None, None, None)
            activity.error = None  # its traceback leads to this frame

    @asynccontextmanager
    async def around_async(self, activity: Activity) -> AsyncIterator[Activity]:
        """The same for ``async with``."""
        with self.around(activity):
            yield activity

    @contextmanager
    def _forgiving(self, listener: Listener, activity: Activity) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException:
            if listener.plugin not in self._reported:
                self._reported.add(listener.plugin)
                _LOG.exception(
                    "The %s failed in around(); the run continues. Further failures in this run are not logged.",
                    listener.plugin,
                    extra=log_fields(activity.graph_id, run_id=activity.run_id),
                )
