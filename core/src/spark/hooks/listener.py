"""One plugin's implementation of one event."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Listener:
    """A function that wants to be told of an event, and which of the event's arguments it declares."""

    plugin: str
    """How messages call the plugin."""
    function: Callable[..., Any]
    arguments: tuple[str, ...]

    async def tell(self, arguments: dict[str, Any]) -> None:
        """Call the function with the arguments that it declares, and await what it returns if that can be awaited."""
        outcome = self.function(**{name: arguments[name] for name in self.arguments})
        if inspect.isawaitable(outcome):
            await outcome
