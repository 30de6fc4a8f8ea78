"""One plugin's implementation of one event."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import Task


@dataclass(slots=True, eq=False)
class Listener:
    """A function that wants to be told of an event, and which of the event's arguments it declares."""

    plugin: str
    """How messages call the plugin."""
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    late: Task[Any] | None = field(default=None, repr=False)
    """The last call that took too long, to be asked whether it is done."""

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    def call_with(self, arguments: dict[str, Any]) -> Callable[[], Any]:
        """The function with the arguments that it declares, to be called."""
        return partial(self.function, **{name: arguments[name] for name in self.arguments})
