"""What is known about one plugin: its status, what it provides, and the events it listens to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from asyncio import Task

    from spark.hooks.specs import Claim, PluginSpec

Status: TypeAlias = Literal["loaded", "partial", "blocked", "broken"]

IN_CODE: Final = "registered in code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provided:
    """One thing that a plugin provides: what a spec describes, a listener to an event; or a hook that is skipped."""

    kind: str
    """``"backend"``, ``"format"`` and so on; ``"event"``; or ``"hook"``, where a whole hook is skipped."""
    name: str
    """What users write to choose it; of events and hooks, the name of the hook."""
    reason: str = ""
    """Why it is skipped, and what to do about it; empty when it is in use."""
    claims: frozenset[Claim] = frozenset()
    """The names that nothing else may have, as ``("URL scheme", "s3")``."""
    spec: PluginSpec | None = field(default=None, repr=False)
    """What describes it: its summary, its target; None for events and hooks."""
    error: BaseException | None = field(default=None, repr=False, compare=False)
    """What was raised, if that is why it is skipped."""

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"{self.kind} {self.name!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """The report on one plugin."""

    name: str
    """The name of its entry point, or the one it was registered by."""
    distribution: str = ""
    """The distribution that installed it: what ``pip uninstall`` takes; empty when it was registered in code."""
    version: str = ""
    """The distribution's version, or ``"unknown"``; empty for the core before it was looked for."""
    origin: str = IN_CODE
    """Where it was registered, if no distribution installed it."""
    status: Status = "loaded"
    """Whether all of it takes part, or only a part, or nothing: because it is blocked, or broken."""
    reason: str = ""
    """Why it, or a part of it, does not take part, and what to do about it; empty when it is loaded."""
    provided: tuple[Provided, ...] = ()
    """What it provides, and what of that is skipped."""
    load_seconds: float = 0.0
    """How long its import and its hooks took."""
    error: BaseException | None = field(default=None, repr=False, compare=False)
    """What it raised, when it is broken."""

    @property
    def source(self) -> str:
        """Where it comes from: distribution and version, or ``"registered in code"``."""
        return f"{self.distribution} {self.version}".rstrip() if self.distribution else self.origin

    @property
    def label(self) -> str:
        """How messages call it: by name and source."""
        return f"plugin {self.name!r} {'of ' if self.distribution else ''}{self.source}"

    @property
    def cure(self) -> str:
        """What to do when it can't be used."""
        return (
            f"Reinstall or upgrade {self.distribution}." if self.distribution else "Correct it where it is registered."
        )

    @property
    def takes_part(self) -> bool:
        """Whether anything of it is in use."""
        return self.status in ("loaded", "partial")

    @property
    def provides(self) -> tuple[str, ...]:
        """What of it is in use, as ``"kind:name"``: ``"backend:file"``, ``"event:spark_checkpoint_created"``."""
        return tuple(f"{each.kind}:{each.name}" for each in self.provided if not each.reason)

    @property
    def specs(self) -> tuple[PluginSpec, ...]:
        """The specs of what is in use."""
        return tuple(each.spec for each in self.provided if each.spec and not each.reason)

    @property
    def claims(self) -> frozenset[Claim]:
        """The names that what is in use claims: ``("backend", "file")``, ``("URL scheme", "file")``."""
        return frozenset().union(*(spec.claims() for spec in self.specs))

    def complaints(self) -> list[str]:
        """What to warn about: each thing that is skipped, or the whole of a broken plugin."""
        skipped = [
            f"The {each.label} of the {self.label} is skipped. {each.reason}" for each in self.provided if each.reason
        ]
        return skipped or ([f"The {self.label} is skipped. {self.reason}"] if self.status == "broken" else [])

    def with_provided(self, provided: Iterable[Provided]) -> PluginInfo:
        """The same plugin, which provides this, as far as it is not skipped."""
        provided = tuple(provided)
        skipped = [each for each in provided if each.reason]
        status: Status = "loaded" if not skipped else "broken" if len(skipped) == len(provided) else "partial"
        reason = " ".join(f"The {each.label} is skipped. {each.reason}" for each in skipped)
        error = next((each.error for each in skipped if each.error), None)
        return replace(self, status=status, reason=reason, provided=provided, error=error)

    def without_use(
        self, status: Literal["blocked", "broken"], reason: str, error: BaseException | None = None
    ) -> PluginInfo:
        """The same plugin, out of service."""
        return replace(self, status=status, reason=reason, provided=(), error=error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A plugin within the registry: the report on it, and who listens."""

    info: PluginInfo
    listeners: tuple[Listener, ...] = ()
    module: Any = None
    """The object that its entry point names, or that was registered; None where it was not imported, or is not used."""


@dataclass(slots=True, eq=False)
class Listener:
    """A function that listens to an event, and which of the event's arguments it declares."""

    plugin: str
    """How messages call the plugin."""
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    event: str = ""
    """The event hook that it is; empty for the method of an observer."""
    place: tuple[bool, bool, str] = (False, True, "")
    """Where it stands in the order of the calls."""
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
