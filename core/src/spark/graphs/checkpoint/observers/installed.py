"""Observers that are active because they are installed: those of plugins that need no options, one of each for the process."""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING, Final

from spark.errors import GraphDefinitionError, PluginError
from spark.graphs.checkpoint.observers.handlers import CheckpointHandler

if TYPE_CHECKING:
    from spark.hooks.discovery import Found

_LOG: Final = logging.getLogger("spark.checkpoint")
_LOCK: Final = Lock()
_made: tuple[Found, tuple[CheckpointHandler, ...]] | None = None


def installed_observers(found: Found) -> tuple[CheckpointHandler, ...]:
    """The observers among these plugins that need no options, made once. One that can't be made is logged and left out."""
    global _made
    with _LOCK:
        if _made is None or _made[0] is not found:
            names = dict.fromkeys(
                spec.name
                for plugin in found.plugins
                if plugin.is_loaded
                for spec in plugin.specs
                if spec.kind == "observer"
            )
            _made = found, tuple(made for name in names if (made := _observer(name)) is not None)
        return _made[1]


def _observer(name: str) -> CheckpointHandler | None:
    from spark.hooks.options import chosen, needs_options

    try:
        if needs_options("observer", name):
            return None
        return chosen("observer", name, base=CheckpointHandler, place=f"The installed observer {name!r}")
    except (GraphDefinitionError, PluginError) as error:
        _LOG.error("The observer %r is not notified of anything: %s", name, error)
        return None
