"""Observers that are active because they are installed: those of plugins that need no options, one of each for the process."""

from __future__ import annotations

import logging
from collections.abc import Collection
from threading import Lock
from typing import TYPE_CHECKING, Final

from spark.errors import GraphDefinitionError, PluginError
from spark.graphs.checkpoint.observers.handlers import CheckpointHandler

if TYPE_CHECKING:
    from spark.hooks.discovery import Found
    from spark.hooks.specs import PluginSpec

_LOG: Final = logging.getLogger("spark.checkpoint")
_LOCK: Final = Lock()
_made: Final[dict[int, tuple[PluginSpec, CheckpointHandler | None]]] = {}
"""By the identity of its spec, which changes when the plugin is loaded anew."""
_seen: tuple[Found | None, tuple[PluginSpec, ...]] = None, ()
"""The plugins that were asked about last, and the observers among them."""


def installed_observers(found: Found, *, besides: Collection[str]) -> list[CheckpointHandler]:
    """The observers among these plugins that need no options, each made once. One that can't be made is logged and left out.

    :param besides: names of observers that are not wanted, because they are configured or switched off.
    """
    specs = [spec for spec in _observers_in(found) if spec.name not in besides]
    if not specs:
        return []
    with _LOCK:
        for spec in specs:
            if id(spec) not in _made:
                _made[id(spec)] = spec, _observer(spec.name)
        return [made for spec in specs if (made := _made[id(spec)][1]) is not None]


def are_made(found: Found, *, besides: Collection[str]) -> bool:
    """Whether ``installed_observers`` has nothing to make, which imports plugins."""
    return all(id(spec) in _made for spec in _observers_in(found) if spec.name not in besides)


def _observers_in(found: Found) -> tuple[PluginSpec, ...]:
    global _seen
    seen, specs = _seen
    if seen is not found:
        by_name = {spec.name: spec for plugin in found.plugins for spec in plugin.info.specs if spec.kind == "observer"}
        specs = tuple(by_name.values())
        _seen = found, specs
    return specs


def _observer(name: str) -> CheckpointHandler | None:
    from spark.hooks.options import chosen, needs_options

    try:
        if needs_options("observer", name):
            return None
        return chosen("observer", name, base=CheckpointHandler, place=f"The installed observer {name!r}")
    except (GraphDefinitionError, PluginError) as error:
        _LOG.error("The observer %r is not notified of anything: %s", name, error)
        return None
