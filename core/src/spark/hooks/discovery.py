"""Find, load and check every installed plugin, once per process; one that is broken is named and skipped.

Nothing happens before somebody asks: importing this module scans nothing, and loads neither pluggy nor ``importlib-metadata``.
What the core itself provides is found without a scan.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from spark.errors import PluginBrokenError, PluginError, PluginWarning
from spark.hooks.plugin import Listener, Plugin, PluginInfo

if TYPE_CHECKING:
    import pluggy

    from spark.hooks.entry_points import Candidate
    from spark.hooks.specs import Claim, PluginSpec

CORE: Final = "spark-graphs"
BUILTIN: Final = "builtin"
_BUILTIN_MODULE: Final = "spark.builtin"


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that one scan found."""

    plugins: tuple[Plugin, ...]
    """The core's own first, then by distribution and name."""
    listeners: dict[str, tuple[Listener, ...]] = field(default_factory=dict)
    """By event, its listeners in the order of the call."""
    owners: dict[Claim, list[tuple[Plugin, PluginSpec]]] = field(default_factory=dict)
    """By claim, who makes it; more than one are in conflict."""


_lock = threading.RLock()
_core: Plugin | None = None
_found: Found | None = None
_is_scanning = False


def plugins() -> list[PluginInfo]:
    """The report on every installed plugin: loaded, blocked or broken, and why. The first call loads them."""
    return [plugin.info for plugin in found().plugins]


def found() -> Found:
    """What the scan found. The first call of the process scans, and warns about broken plugins and unknown names in the settings.

    :raises PluginError: a plugin asked for plugins while it was being loaded.
    """
    global _found
    if _found is not None:
        return _found
    with _lock:
        if _found is not None:
            return _found
        fresh, complaints = _scan_unless_scanning()
        _found = fresh
    # Only now, so that a filter that turns warnings into errors hits once and leaves nothing half done.
    for complaint in complaints:
        warnings.warn(complaint, PluginWarning, stacklevel=2)
    return fresh


def has_found() -> bool:
    """Whether the scan is done, so that asking costs nothing."""
    return _found is not None


def core() -> Plugin:
    """What the core provides by itself, found without a scan. Its version is only known to a scan."""
    global _core
    with _lock:
        if _core is None:
            plugin = Plugin(info=PluginInfo(name=BUILTIN, distribution=CORE, version="unknown", status="loaded"))
            _core = _described(plugin, importlib.import_module(_BUILTIN_MODULE))
        return _core


def owners(plugins: Iterable[Plugin]) -> dict[Claim, list[tuple[Plugin, PluginSpec]]]:
    """By claim, the loaded plugins that make it, each with its spec."""
    found: dict[Claim, list[tuple[Plugin, PluginSpec]]] = {}
    for plugin in plugins:
        for spec in plugin.specs if plugin.is_loaded else ():
            for claim in spec.claims():
                found.setdefault(claim, []).append((plugin, spec))
    return found


def reset() -> None:
    """Forget what was found, so that the next use scans again. For tests; imported modules stay imported."""
    global _found
    with _lock:
        _found = None


def _scan_unless_scanning() -> tuple[Found, list[str]]:
    global _is_scanning
    if _is_scanning:
        raise PluginError(
            "A plugin asked for plugins while it was being loaded. Look names and URLs up when they are used, not when "
            "the plugin's module is imported or its hooks are called."
        )
    _is_scanning = True
    try:
        return _scan()
    finally:
        _is_scanning = False


def _scan() -> tuple[Found, list[str]]:
    from spark.hooks.entry_points import find_candidates, unknown_names
    from spark.hooks.specs import EVENTS

    own, candidates = core(), find_candidates()
    for candidate in candidates:
        if candidate.is_called(CORE, BUILTIN):
            own = replace(own, info=replace(own.info, version=candidate.version))
    others = [candidate for candidate in candidates if not candidate.is_called(CORE, BUILTIN)]
    plugins = _without_twins([own, *(_load(candidate, own) for candidate in others)])
    complaints = [f"The {each.info.label} is skipped. {each.info.reason}" for each in plugins if each.info.error]
    listeners = {event: _listeners(event, plugins) for event in EVENTS}
    return Found(tuple(plugins), listeners, owners(plugins)), complaints + unknown_names(others, os.environ)


def _load(candidate: Candidate, own: Plugin) -> Plugin:
    """A plugin and its status. It is imported only when the settings allow it; whatever it does wrong harms no other."""
    from spark.hooks.entry_points import reason_to_block
    from spark.hooks.validation import check_specs

    plugin = Plugin(
        info=PluginInfo(
            name=candidate.name, distribution=candidate.distribution, version=candidate.version, status="loaded"
        )
    )
    if reason := reason_to_block(candidate, os.environ):
        return replace(plugin, info=replace(plugin.info, status="blocked", reason=reason))
    started = time.perf_counter()
    try:
        plugin = _described(plugin, _import(candidate))
        check_specs(plugin.specs)
        _refuse_names_of(own, plugin)
    except PluginBrokenError as error:
        plugin = plugin.broken_by(error)
    return replace(plugin, info=replace(plugin.info, load_seconds=time.perf_counter() - started))


def _import(candidate: Candidate) -> Any:
    if candidate.flaw:
        raise PluginBrokenError(candidate.flaw)
    try:
        return candidate.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginBrokenError(
            f"Importing {candidate.entry_point.value} failed: {type(error).__name__}: {error}. Reinstall or upgrade "
            f"{candidate.distribution}, or set SPARK_DISABLE_PLUGINS={candidate.distribution} to do without it."
        ) from error


def _described(plugin: Plugin, module: Any) -> Plugin:
    """The plugin with what its hooks say about it."""
    from spark.hooks.specs import EVENTS
    from spark.hooks.validation import collect_specs, validate

    hooks = validate(module, plugin.info.label)
    specs = collect_specs(hooks)
    provides = (
        *(f"{spec.kind}:{spec.name}" for spec in specs),
        *(f"event:{hook}" for hook, _ in hooks if hook in EVENTS),
    )
    claims = frozenset[tuple[str, str]]().union(*(spec.claims() for spec in specs))
    info = replace(plugin.info, provides=provides, claims=claims)
    return replace(plugin, info=info, specs=tuple(specs), hooks=tuple(hooks), module=module)


def _refuse_names_of(own: Plugin, plugin: Plugin) -> None:
    for spec in plugin.specs:
        for kind, name in sorted(spec.claims() & own.info.claims):
            raise PluginBrokenError(
                f"It claims the {kind} {name!r}, which {CORE} itself provides and which can't be replaced. "
                f"Give the plugin's {spec.kind} a name of its own."
            )


def _without_twins(plugins: Iterable[Plugin]) -> list[Plugin]:
    """The plugins; those that name the object of an earlier one are broken, since it would be notified twice."""
    owners: dict[int, Plugin] = {}
    found = []
    for plugin in plugins:
        twin = owners.setdefault(id(plugin.module), plugin) if plugin.is_loaded else plugin
        if twin is not plugin:
            error = PluginBrokenError(
                f"It is the same object as {twin.info.label}. Remove one of the two entry points."
            )
            plugin = plugin.broken_by(error)
        found.append(plugin)
    return found


def _listeners(event: str, plugins: Iterable[Plugin]) -> tuple[Listener, ...]:
    from spark.hooks.validation import accepted

    implementations = [each for plugin in plugins for hook, each in plugin.hooks if hook == event]
    return tuple(
        Listener(each.plugin_name, each.function, accepted(event, each)) for each in sorted(implementations, key=_place)
    )


def _place(implementation: pluggy.HookImpl) -> tuple[bool, bool, str]:
    """``tryfirst`` before all others, ``trylast`` after them, and by the plugin's name among equals."""
    return (implementation.trylast, not implementation.tryfirst, implementation.plugin_name)
