"""What is known about one plugin: its status, what it provides, and the events it listens to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from asyncio import Task

    import pluggy

    from spark.hooks.specs import Claim, PluginSpec

Status: TypeAlias = Literal["loaded", "blocked", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """One line of the report on plugins."""

    name: str
    """The name of its entry point."""
    distribution: str
    """The distribution that installed it: what ``pip uninstall`` takes."""
    version: str
    """The distribution's version, or ``"unknown"``."""
    status: Status
    """Whether it takes part."""
    reason: str = ""
    """Why it is blocked or broken, and what to do about it; empty when it is loaded."""
    provides: tuple[str, ...] = ()
    """What it provides, as ``"kind:name"``, for instance ``"backend:file"`` or ``"event:spark_checkpoint_created"``."""
    claims: frozenset[Claim] = frozenset()
    """The names that no other plugin may have, as ``("URL scheme", "s3")``; empty unless it is loaded."""
    load_seconds: float = 0.0
    """How long its import and its hooks took."""
    error: BaseException | None = field(default=None, repr=False, compare=False)
    """What it raised, when it is broken."""

    @property
    def label(self) -> str:
        """How messages call it: name, distribution and version."""
        return f"plugin {self.name!r} of {self.distribution} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A plugin within the registry: its line of the report, and what its hooks said."""

    info: PluginInfo
    specs: tuple[PluginSpec, ...] = ()
    """What it provides; of a broken plugin, what it would have provided, as far as that is known."""
    hooks: tuple[tuple[str, pluggy.HookImpl], ...] = ()
    """Every hook that it implements; empty unless it is loaded."""
    module: Any = None
    """The object that its entry point names."""

    @property
    def is_loaded(self) -> bool:
        """Whether it takes part."""
        return self.info.status == "loaded"

    def broken_by(self, error: Exception) -> Plugin:
        """The same plugin, out of service. It keeps its specs, so that asking for one of them can say what is wrong."""
        info = replace(self.info, status="broken", reason=str(error), provides=(), claims=frozenset(), error=error)
        return replace(self, info=info, hooks=())


@dataclass(slots=True, eq=False)
class Listener:
    """A function that listens to an event, and which of the event's arguments it declares."""

    plugin: str
    """How messages call the plugin."""
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    is_positional: bool = False
    """It takes its arguments by position, whatever it calls them."""
    late: Task[Any] | None = field(default=None, repr=False)
    """The last call that took too long, which may still be running."""
    resumes_at: float = field(default=0.0, repr=False)
    """The time on the monotonic clock before which it is not called again, after a call that took too long."""

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    def call_with(self, arguments: dict[str, Any]) -> Callable[[], Any]:
        """The function with the arguments that it declares, to be called."""
        if self.is_positional:
            return partial(self.function, *(arguments[name] for name in self.arguments))
        return partial(self.function, **{name: arguments[name] for name in self.arguments})
