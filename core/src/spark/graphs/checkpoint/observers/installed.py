"""Observers that are active because they are installed: those of plugins that need no options, one of each for the process."""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING, Final

from spark.errors import GraphDefinitionError, PluginError
from spark.graphs.checkpoint.observers.handlers import CheckpointHandler

if TYPE_CHECKING:
    from spark.hooks.discovery import Found
    from spark.hooks.specs import PluginSpec

_LOG: Final = logging.getLogger("spark.checkpoint")
_LOCK: Final = Lock()
_made: dict[int, tuple[PluginSpec, CheckpointHandler | None]] = {}
"""By the identity of its spec, which changes when the plugin is loaded anew."""


def installed_observers(found: Found) -> tuple[CheckpointHandler, ...]:
    """The observers among these plugins that need no options, each made once. One that can't be made is logged and left out."""
    global _made
    with _LOCK:
        specs = {spec.name: spec for plugin in found.plugins for spec in plugin.info.specs if spec.kind == "observer"}
        # Those that were made stay, with their state, when other plugins come or go.
        _made = {id(spec): _made.get(id(spec)) or (spec, _observer(spec.name)) for spec in specs.values()}
        return tuple(made for _, made in _made.values() if made is not None)


def _observer(name: str) -> CheckpointHandler | None:
    from spark.hooks.options import chosen, needs_options

    try:
        if needs_options("observer", name):
            return None
        return chosen("observer", name, base=CheckpointHandler, place=f"The installed observer {name!r}")
    except (GraphDefinitionError, PluginError) as error:
        _LOG.error("The observer %r is not notified of anything: %s", name, error)
        return None
