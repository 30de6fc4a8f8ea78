"""What is done around a step that is executed elsewhere: its durable calls begin and end there, and their surroundings here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context, copy_context

from spark.graphs.events.activity import Activity
from spark.graphs.events.surroundings import Surroundings


class AroundElsewhere:
    """One execution of a step. Made in the context in which what is around the step was entered.

    :param activity: of the step.
    :param call: makes the activity of a durable call with this key.
    """

    def __init__(self, activity: Activity, surroundings: Surroundings, call: Callable[[str], Activity]) -> None:
        self.sent: dict[str, dict[str, str]] = activity.elsewhere or {}
        """What is to be entered around the node where it is executed."""
        self._surroundings = surroundings
        self._call = call
        self._context = copy_context()
        self._calls: dict[int, tuple[Context, AbstractContextManager[Activity]]] = {}

    def begin(self, number: int, key: str) -> dict[str, dict[str, str]]:
        """A durable call begins. Returns what is to be entered around it where it is made."""
        activity = self._call(key)
        activity.elsewhere = {}
        context, manager = self._context.copy(), self._surroundings.around(activity)
        context.run(manager.__enter__)
        self._calls[number] = context, manager
        return activity.elsewhere

    def end(self, number: int, error: BaseException | None) -> None:
        """A durable call has ended."""
        context, manager = self._calls.pop(number)
        context.run(manager.__exit__, *((None, None, None) if error is None else (type(error), error, None)))

    def close(self) -> None:
        """The step has ended: so have its calls, of which nobody will hear more."""
        for number in [*self._calls]:
            self.end(number, asyncio.CancelledError())
