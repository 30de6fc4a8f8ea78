"""Plugins without a distribution: those that a program, a test, a notebook or a project's settings register."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from spark.errors import PluginBrokenError, PluginConflictError, PluginError, PluginNotFoundError
from spark.hooks import discovery, misnamed
from spark.hooks.entry_points import normalize, reason_not_to_use
from spark.hooks.plugin import IN_CODE, Plugin, PluginInfo
from spark.hooks.validation import NoHooksError, provided_by
from spark.wording import did_you_mean, raised


@dataclass(frozen=True, slots=True)
class Registration:
    """What ``register`` returns: at the end of a ``with`` block, the plugin is unregistered."""

    info: PluginInfo
    """The report on the plugin."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for plugin in discovery.registered():
            if plugin.info is self.info:
                discovery.remove(plugin)


def register(plugin: Any, *, name: str = "") -> Registration:
    """Add a plugin to this process: a module of hooks, or an object whose methods are hooks, marked with ``@hookimpl``.

    What it provides can be chosen, and its listeners are notified, until it is unregistered. No other plugin is loaded for it.
    ``SPARK_DISABLE_PLUGINS`` applies to its name; ``SPARK_PLUGINS`` does not, since it says what may be imported.

    :param name: what the report and ``unregister`` call it; by default the name of the module, or that of the object's class.
    :raises PluginBrokenError: it has no hooks, or one of its hooks or specs is wrong.
    :raises PluginConflictError: it is there already, or its name or one that it provides is taken.
    """
    info = _info(name or getattr(plugin, "__name__", "") or type(plugin).__name__, IN_CODE)
    return Registration(_add(info, plugin).info)


def register_modules(names: Iterable[str], *, place: str) -> None:
    """Register the modules that settings name; one that is registered or installed already is left as it is.

    :param place: the file and the key that name them, for messages.
    :raises PluginBrokenError: one can't be imported, or one of its hooks or specs is wrong.
    :raises PluginConflictError: the name of one, or one that it provides, is taken.
    """
    for name in names:
        try:
            info = _info(name, f"named in {place}")
            _add(info, None if info.status == "blocked" else _imported(name), once=True)
        except PluginError as error:
            raise type(error)(f"{place}: {error}") from error.__cause__


def unregister(plugin: Any) -> None:
    """Take back what was registered.

    :param plugin: the name that it was registered by, or the module or object.
    :raises PluginNotFoundError: nothing like it is registered.
    """
    registered = discovery.registered()
    for each in registered:
        if plugin is each.module or (isinstance(plugin, str) and plugin == each.info.name):
            discovery.remove(each)
            return
    names = [each.info.name for each in registered]
    asked = plugin if isinstance(plugin, str) else getattr(plugin, "__name__", type(plugin).__name__)
    near = did_you_mean(asked, names) or f" Registered are: {', '.join(names) or 'none'}."
    raise PluginNotFoundError(
        f"No plugin {asked!r} is registered in code.{near} To switch off an installed one, set SPARK_DISABLE_PLUGINS."
    )


def _info(name: str, origin: str) -> PluginInfo:
    info = PluginInfo(name=name, origin=origin)
    reason = reason_not_to_use({normalize(name)}, os.environ)
    return info.without_use("blocked", reason) if reason else info


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginBrokenError(
            f"Importing {name} failed: {raised(error)}. Give a module that this program can import."
        ) from error


def _add(info: PluginInfo, module: Any, *, once: bool = False) -> Plugin:
    """Take in a plugin.

    :param once: whether one that is there already is no mistake.
    """
    if once and (there := _there(info, module)):
        return there
    plugin = _described(info, module)
    with discovery.lock:
        there = _there(info, module)
        if there is None:
            _refuse_taken(plugin)
            discovery.add(plugin)
        elif not once:
            raise PluginConflictError(f"{info.name!r} can't be registered: it is the {there.info.label} already.")
    return there or plugin


def _there(info: PluginInfo, module: Any) -> Plugin | None:
    known = discovery.known()
    if module is None:  # it is blocked, and was not imported
        return next((each for each in known if each.info == info), None)
    return next((each for each in known if each.module is module), None)


def _described(info: PluginInfo, module: Any) -> Plugin:
    if info.status == "blocked":
        return Plugin(info=info, module=module)
    try:
        provided, listeners = provided_by(module, info.label, taken={})
    except NoHooksError as error:
        said = misnamed.instead_of(module) or error
        raise PluginBrokenError(f"{info.name!r} can't be registered: {said}") from None
    except PluginBrokenError as error:
        raise PluginBrokenError(f"{info.name!r} can't be registered: {error}") from error.__cause__
    info = info.with_provided(provided)
    if info.reason:  # whoever registers it is here to correct it
        raise PluginBrokenError(f"{info.name!r} can't be registered: {info.reason}") from info.error
    return Plugin(info=info, listeners=tuple(listeners), module=module)


def _refuse_taken(plugin: Plugin) -> None:
    for other in discovery.known():
        if other.info.name == plugin.info.name:
            raise PluginConflictError(
                f"{plugin.info.name!r} can't be registered: there is the {other.info.label}. Give another name."
            )
        for kind, name in sorted(plugin.info.claims & other.info.claims):
            raise PluginConflictError(
                f"{plugin.info.name!r} can't be registered: the {other.info.label} provides the {kind} {name!r} already."
            )
