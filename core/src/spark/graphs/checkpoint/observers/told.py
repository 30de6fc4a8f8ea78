"""Whose methods are called: those of the handlers that were given, and of the observers that are installed.

Installed observers that need no options are active by themselves, one of each for the process.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from spark.errors import GraphDefinitionError, PluginError
from spark.graphs.checkpoint.observers.choosing import SwitchedOff, name_of
from spark.graphs.checkpoint.observers.handlers import CheckpointHandler
from spark.hooks.choices import choice_of
from spark.hooks.discovery import Found, found, has_found
from spark.hooks.events import fire, listeners, tell
from spark.hooks.plugin import Listener

if TYPE_CHECKING:
    from spark.hooks.specs import PluginSpec

__all__ = ["fire", "found", "is_ready", "listeners", "tell", "told_by"]

METHODS: Final = {
    "spark_checkpoint_created": ("on_checkpoint_created", ("checkpoint",)),
    "spark_checkpoint_restored": ("on_checkpoint_restored", ("checkpoint",)),
    "spark_checkpoint_deleted": ("on_checkpoint_deleted", ("checkpoint_id",)),
    "spark_checkpoint_failed": ("on_checkpoint_failed", ("graph_id", "error")),
    "spark_run_event": ("on_event", ("event",)),
    "around": ("around", ("activity",)),  # no event, but found in the same way
}
"""Event to the method of a handler, and those of the event's arguments that it takes."""
_LOG: Final = logging.getLogger("spark.checkpoint")
_LOCK: Final = Lock()
_made: Final[dict[int, tuple[PluginSpec, Methods]]] = {}
"""By the identity of its spec, which changes when the plugin is loaded anew, the methods of the observer that was made."""


class Told(NamedTuple):
    """A handler's method for an event."""

    listener: Listener
    graphs: Sequence[str]
    """Patterns of the graph ids that it is notified about."""
    is_own: bool
    """It is the user's, and not a plugin's."""
    handler: CheckpointHandler

    def fits(self, graph_id: str) -> bool:
        """Whether it is notified about a graph."""
        return any(pattern == "*" or fnmatchcase(graph_id, pattern) for pattern in self.graphs)

    def watches(self, graph_id: str) -> bool:
        """Whether it wants to know of a run of this graph that is about to begin."""
        try:
            return self.fits(graph_id) and self.handler.watches(graph_id)
        except Exception:
            _LOG.exception("The %s failed in watches(); it gets no events of this run.", self.listener.plugin)
            return False


Methods: TypeAlias = Sequence[tuple[str, Told]]
"""Those of one handler, each with its event."""


def told_by(given: Collection[CheckpointHandler], plugins: Found) -> dict[str, list[Told]]:
    """By event, the methods of the given handlers, and then those of the installed observers; makes these where that is due."""
    told: dict[str, list[Told]] = {}
    for methods in [*map(_methods, given), *_installed(given, plugins)]:
        for event, method in methods:
            told.setdefault(event, []).append(method)
    return told


def is_ready(given: Collection[CheckpointHandler]) -> bool:
    """Whether plugins are loaded, and ``told_by`` has no observer to make, which imports them."""
    return has_found() and not [spec for spec in _wanted(given, found()) if id(spec) not in _made]


def _methods(handler: CheckpointHandler) -> Methods:
    """Those that it has written; the others do nothing."""
    if isinstance(handler, SwitchedOff):
        return []
    choice = choice_of(handler)
    label = f"observer {choice.name!r}" if choice else f"handler {type(handler).__qualname__}"
    graphs = choice.options.get("graphs", "*") if choice else "*"
    methods: list[tuple[str, Told]] = []
    for event, (name, arguments) in METHODS.items():
        method = getattr(handler, name)
        if getattr(method, "__func__", None) is not getattr(CheckpointHandler, name):
            listener = Listener(label, method, arguments, is_positional=True)
            methods.append((event, Told(listener, graphs, is_own=choice is None, handler=handler)))
    return methods


def _installed(given: Collection[CheckpointHandler], plugins: Found) -> list[Methods]:
    """The methods of the observers that need no options, each made once. One that can't be made is logged and left out."""
    if not (specs := _wanted(given, plugins)):
        return []
    with _LOCK:
        for spec in specs:
            if id(spec) not in _made:
                made = _observer(spec.name)
                _made[id(spec)] = spec, _methods(made) if made is not None else []
        return [_made[id(spec)][1] for spec in specs]


def _wanted(given: Collection[CheckpointHandler], plugins: Found) -> Sequence[PluginSpec]:
    """The installed observers, but for those that were configured or switched off."""
    specs = plugins.observers
    if not (specs and given):
        return specs
    named = {name_of(handler) for handler in given}
    return [spec for spec in specs if spec.name not in named]


def _observer(name: str) -> CheckpointHandler | None:
    from spark.hooks.options import chosen, needs_options

    try:
        if needs_options("observer", name):
            return None
        return chosen("observer", name, base=CheckpointHandler, place=f"The installed observer {name!r}")
    except (GraphDefinitionError, PluginError) as error:
        _LOG.error("The observer %r is not notified of anything: %s", name, error)
        return None
