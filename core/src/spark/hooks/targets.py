"""From a spec to its class: imported on first use, and checked to be what the spec says."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from spark.errors import PluginBrokenError
from spark.hooks.plugin_info import Plugin
from spark.hooks.plugin_specs import PluginSpec, SerializerSpec


def import_target(plugin: Plugin, spec: PluginSpec) -> type[Any]:
    """The class of a spec.

    :raises PluginBrokenError: it can't be imported, or is not what the spec says; names the plugin.
    """
    try:
        target = _imported(spec.target)
        flaw = _flaw(target, spec)  # whose metaclass may raise, too
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _unfit(plugin, spec, f"importing {spec.target} failed: {type(error).__name__}: {error}") from error
    if flaw:
        raise _unfit(plugin, spec, f"{spec.target} {flaw}")
    assert isinstance(target, type)
    return target


def _imported(path: str) -> Any:
    module_name, _, inner = path.partition(":")
    return functools.reduce(getattr, inner.split("."), importlib.import_module(module_name))


def _flaw(target: Any, spec: PluginSpec) -> str:
    """What is wrong with a class; empty when it is what the spec says."""
    if not isinstance(target, type):
        return "is not a class"
    if spec.base and not issubclass(target, _imported(spec.base)):
        return f"is not a subclass of {spec.base.replace(':', '.')}"
    if missing := sorted(getattr(target, "__abstractmethods__", ())):
        return f"lacks {', '.join(missing)}"
    return _format_flaw(target, spec) if isinstance(spec, SerializerSpec) else ""


def _format_flaw(target: Any, spec: SerializerSpec) -> str:
    name, is_safe = getattr(target, "name", None), target.safe_to_load
    if name != spec.name:  # records carry the class's name, and are read by who provides it
        return f"has name = {name!r}, and its SerializerSpec name={spec.name!r}"
    if is_safe is not spec.safe_to_load:
        return (
            f"has safe_to_load = {is_safe!r}, and its SerializerSpec safe_to_load={spec.safe_to_load!r}; nothing is loaded "
            "by it until both say the same"
        )
    return ""


def _unfit(plugin: Plugin, spec: PluginSpec, reason: str) -> PluginBrokenError:
    return PluginBrokenError(
        f"The {spec.kind} {spec.name!r} of the {plugin.info.label} can't be used: {reason}. "
        f"Reinstall or upgrade {plugin.info.distribution}."
    )
