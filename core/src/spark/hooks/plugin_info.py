"""What became of one plugin: loaded, blocked or broken, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import pluggy

    from spark.hooks.plugin_specs import Claim, PluginSpec

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
    """What it brings, as ``"kind:name"``, for instance ``"backend:file"`` or ``"event:spark_checkpoint_created"``."""
    claims: frozenset[Claim] = frozenset()
    """Everything that it is and only one plugin can be, as ``("URL scheme", "s3")``; empty unless it is loaded."""
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
    """A plugin as the rest of this room sees it: the line of the report, and what it said."""

    info: PluginInfo
    specs: tuple[PluginSpec, ...] = ()
    """What it provides; of a broken plugin, what it would have provided, as far as that is known."""
    hooks: tuple[tuple[str, pluggy.HookImpl], ...] = ()
    """Every hook that it implements; empty unless it is loaded."""
    module: Any = None
    """The object that its entry point names."""
