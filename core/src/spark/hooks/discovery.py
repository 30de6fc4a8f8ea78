"""All plugins of this process: the core's own, those registered in code, and those installed, which are looked for once.

Nothing happens before somebody asks: importing this module scans nothing, and loads neither pluggy nor ``importlib-metadata``.
What the core itself provides is found without a scan.
"""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from spark.errors import PluginError, PluginWarning
from spark.hooks.plugin import Listener, Plugin, PluginInfo

if TYPE_CHECKING:
    from spark.hooks.entry_points import Key
    from spark.hooks.specs import Claim, PluginSpec

CORE: Final = "spark-graphs"


@dataclass(frozen=True, slots=True)
class Found:
    """Some plugins, arranged for what is asked of them. It is never changed, so readers need no lock."""

    plugins: tuple[Plugin, ...]
    """The core's own first, then those registered in code, then the installed ones by distribution and name."""
    listeners: dict[str, tuple[Listener, ...]]
    """By event, its listeners in the order of the call."""
    heard: frozenset[str]
    """The events that have listeners."""
    observers: tuple[PluginSpec, ...]
    """The specs of observers, of which those that need no options are active by themselves."""
    owners: dict[Claim, list[tuple[PluginInfo, PluginSpec]]]
    """By claim, who makes it; more than one are in conflict."""

    @classmethod
    def of(cls, plugins: Iterable[Plugin]) -> Found:
        """These plugins."""
        from spark.hooks.specs import EVENTS

        plugins = tuple(plugins)
        ordered = sorted((each for plugin in plugins for each in plugin.listeners), key=lambda each: each.place)
        owners: dict[Claim, list[tuple[PluginInfo, PluginSpec]]] = {}
        for plugin in plugins:
            for spec in plugin.info.specs:
                for claim in spec.claims():
                    owners.setdefault(claim, []).append((plugin.info, spec))
        listeners = {event: tuple(each for each in ordered if each.event == event) for event in EVENTS}
        specs = [spec for plugin in plugins for spec in plugin.info.specs]
        observers = {spec.name: spec for spec in specs if spec.kind == "observer"}
        return cls(plugins, listeners, frozenset(each.event for each in ordered), tuple(observers.values()), owners)


lock = threading.RLock()
"""Held while what follows changes; never while a plugin is imported. The dicts are replaced, so readers need no lock."""
_scanning = threading.RLock()
"""Held while installed plugins are loaded."""
_is_scanning = False
_core: Found | None = None
_registered: dict[str, Plugin] = {}
_installed: dict[Key, Plugin] = {}
_found: Found | None = None


def plugins() -> list[PluginInfo]:
    """The report on every plugin, installed or registered: loaded, blocked or broken, and why. The first call loads them."""
    return [plugin.info for plugin in found().plugins]


def rescan() -> list[PluginInfo]:
    """Load what was installed since plugins were loaded, and return the report on that.

    What was broken or blocked is tried again. What was loaded stays, even if its distribution was upgraded or uninstalled.
    """
    importlib.invalidate_caches()
    return _scan(again=True)


def found() -> Found:
    """All plugins. The first call of the process loads them, and warns about broken ones and unknown names in the settings.

    :raises PluginError: a plugin asked for plugins while it was being loaded.
    """
    if _found is None:
        _scan()
        assert _found is not None
    return _found


def has_found() -> bool:
    """Whether installed plugins are loaded, so that asking costs nothing."""
    return _found is not None


def core() -> Found:
    """What the core provides by itself, found without a scan. Its version is only known to a scan."""
    global _core
    if _core is None:
        from spark.hooks.validation import provided_by

        info = PluginInfo(name="builtin", distribution=CORE, version="")
        provided, _ = provided_by(importlib.import_module("spark.builtin"), info.label, taken={})
        _core = Found.of([Plugin(info=info.with_provided(provided))])
    return _core


def known() -> list[Plugin]:
    """All plugins that are known without a scan, or because there was one."""
    return [*core().plugins, *_registered.values(), *_installed.values()]


def registered() -> list[Plugin]:
    """Those that are registered in code."""
    return list(_registered.values())


def add(plugin: Plugin) -> None:
    """Take in a plugin that is registered in code. Its name is free: ``lock`` is held since that was found."""
    global _registered
    _registered = {**_registered, plugin.info.name: plugin}
    _arrange()


def remove(plugin: Plugin) -> None:
    """Forget a plugin that was registered in code, if it is still there."""
    global _registered
    with lock:
        _registered = {name: each for name, each in _registered.items() if each is not plugin}
        _arrange()


def reset() -> None:
    """Forget what was found, so that the next use scans again. For tests; imported modules stay imported."""
    global _found, _installed, _registered
    with lock:
        _found, _installed, _registered = None, {}, {}


def _scan(*, again: bool = False) -> list[PluginInfo]:
    """Load what is installed and not loaded yet; returns the report on that."""
    with _scanning:
        if _found is not None and not again:  # by another thread, meanwhile
            return []
        fresh, complaints = _scanned()
    # Only now, so that a filter that turns warnings into errors hits once and leaves nothing half done.
    for complaint in complaints:
        warnings.warn(complaint, PluginWarning, stacklevel=4)
    return fresh


def _scanned() -> tuple[list[PluginInfo], list[str]]:
    global _installed, _is_scanning, _found, _core
    from spark.hooks.entry_points import version_of
    from spark.hooks.scan import load_installed

    if _is_scanning:
        raise PluginError(
            "A plugin asked for plugins while it was being loaded. Look names and URLs up when they are used, not when "
            "the plugin's module is imported or its hooks are called."
        )
    before = {key: plugin for key, plugin in _installed.items() if plugin.info.takes_part}
    _is_scanning = True
    try:
        installed, complaints = load_installed(core().plugins[0], registered(), before)
    finally:
        _is_scanning = False
    (own,) = core().plugins
    with lock:
        _core = Found.of([replace(own, info=replace(own.info, version=version_of(CORE)))])
        _installed, _found = installed, _core
        _arrange()
    return [plugin.info for key, plugin in installed.items() if key not in before], complaints


def _arrange() -> None:
    """Put all plugins in order for those who ask, if somebody has asked."""
    global _found
    if _found is not None:
        _found = Found.of(known())
