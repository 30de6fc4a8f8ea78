"""Find, block, load and check every installed plugin, once per process; a broken one is named and skipped.

Nothing happens before somebody asks: importing this module scans nothing, and loads neither pluggy nor
``importlib.metadata``. What the core itself brings is found without a scan.
"""

from __future__ import annotations

import os
import threading
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spark.errors import PluginBrokenError, PluginError, PluginWarning
from spark.hooks.plugin_info import Listener, Plugin, PluginInfo

if TYPE_CHECKING:
    import pluggy


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that one scan found."""

    plugins: tuple[Plugin, ...]
    """The core's own first, then by distribution and name."""
    listeners: dict[str, tuple[Listener, ...]] = field(default_factory=dict)
    """Every event, and those who want to be told of it, in the order of the call."""
    misspelt: tuple[str, ...] = ()
    """What is wrong with the lists of plugins to use and not to use."""


_lock = threading.RLock()
_core: Plugin | None = None
_found: Found | None = None
_is_scanning = False


def plugins() -> list[PluginInfo]:
    """The report on every installed plugin: loaded, blocked or broken, and why. The first call loads them."""
    return [plugin.info for plugin in found().plugins]


def found() -> Found:
    """What the scan found. The first call of the process scans, and warns of every broken plugin and misspelt setting.

    :raises PluginError: a plugin asked for plugins while it was being loaded.
    """
    global _found
    if _found is not None:
        return _found
    with _lock:
        if _found is not None:
            return _found
        _found = fresh = _scan_unless_scanning()
    # Only now, so that a filter that turns warnings into errors hits once and leaves nothing half done.
    _warn_of_flaws(fresh)
    return fresh


def has_found() -> bool:
    """Whether the scan is done, so that asking costs nothing."""
    return _found is not None


def core() -> Plugin:
    """What the core brings by itself, found without a scan."""
    global _core
    with _lock:
        if _core is None:
            from spark.hooks.loading import load_core

            _core = load_core()
        return _core


def reset() -> None:
    """Forget what was found, so that the next use scans again. For tests; imported modules stay imported."""
    global _found
    with _lock:
        _found = None


def _scan_unless_scanning() -> Found:
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


def _scan() -> Found:
    from spark.hooks.admission import misspelt
    from spark.hooks.entry_points import find_candidates
    from spark.hooks.loading import is_core, load_plugin

    own = core()
    candidates = [candidate for candidate in find_candidates() if not is_core(candidate)]
    others = [load_plugin(candidate, environ=os.environ, core=own) for candidate in candidates]
    return _register([own, *others], misspelt(candidates, os.environ))


def _register(everyone: list[Plugin], misspelt: list[str]) -> Found:
    import pluggy

    from spark.hooks import specs

    manager = pluggy.PluginManager(specs.PROJECT)
    manager.add_hookspecs(specs)
    registered = tuple(_register_one(plugin, manager) for plugin in everyone)
    return Found(registered, {event: _listeners(event, manager) for event in specs.EVENTS}, tuple(misspelt))


def _register_one(plugin: Plugin, manager: pluggy.PluginManager) -> Plugin:
    from spark.hooks.loading import broken

    if plugin.info.status != "loaded":
        return plugin
    try:
        manager.register(plugin.module, plugin.info.label)
    except ValueError:
        twin = manager.get_name(plugin.module)
        return broken(
            plugin, PluginBrokenError(f"It is the same object as {twin}. Remove one of the two entry points.")
        )
    return plugin


def _listeners(event: str, manager: pluggy.PluginManager) -> tuple[Listener, ...]:
    from spark.hooks.examination import accepted

    implementations = sorted(getattr(manager.hook, event).get_hookimpls(), key=_place)
    return tuple(Listener(each.plugin_name, each.function, accepted(event, each)) for each in implementations)


def _place(implementation: pluggy.HookImpl) -> tuple[bool, bool, str]:
    """``tryfirst`` before all others, ``trylast`` after them, and by the plugin's name among equals."""
    return (implementation.trylast, not implementation.tryfirst, implementation.plugin_name)


def _warn_of_flaws(fresh: Found) -> None:
    for info in (plugin.info for plugin in fresh.plugins):
        if info.status == "broken":
            warnings.warn(f"The {info.label} is skipped. {info.reason}", PluginWarning, stacklevel=3)
    for sentence in fresh.misspelt:
        warnings.warn(sentence, PluginWarning, stacklevel=3)
