"""Are the hooks of a plugin written as they should be, and do they return what they should?

pluggy ignores a function that is not marked, and never calls a misspelt hook. Both are mistakes, and reported as such.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, TypeAlias

import pluggy

from spark.errors import PluginBrokenError
from spark.hooks import specs
from spark.hooks.specs import API_VERSION, PluginSpec
from spark.wording import did_you_mean

HOOKS = {name: tuple(inspect.signature(getattr(specs, name)).parameters) for name in (*specs.PROVIDING, *specs.EVENTS)}
"""Every hook, and its arguments."""

Hooks: TypeAlias = list[tuple[str, pluggy.HookImpl]]
"""The hooks that a plugin implements, each with its implementation."""


def validate(plugin: Any, name: str) -> Hooks:
    """The hooks that a plugin implements.

    :raises PluginBrokenError: a hook is unknown, unmarked, or declared wrongly; the message is the reason and the cure.
    """
    try:
        return _validated(plugin, name)
    except PluginBrokenError:
        raise
    except Exception as error:  # an entry point may name any object, which may raise whenever it is looked at
        raise PluginBrokenError(f"Looking for its hooks failed: {type(error).__name__}: {error}.") from error


def collect_specs(hooks: Hooks) -> list[PluginSpec]:
    """What the plugin's providing hooks return; ``check_specs`` says whether it fits.

    :raises PluginBrokenError: a hook raised, or did not return a list of its specs.
    """
    return [spec for hook, implementation in hooks if hook in specs.PROVIDING for spec in _call(hook, implementation)]


def check_specs(found: Iterable[PluginSpec]) -> None:
    """Refuse specs that were written for another version of the contract, or that claim one name twice.

    :raises PluginBrokenError: and says which.
    """
    seen: set[tuple[str, str]] = set()
    for spec in found:
        _check_version(spec)
        if (spec.kind, spec.name) in seen:
            raise PluginBrokenError(f"It provides the {spec.kind} {spec.name!r} twice. Give each its own name.")
        seen.add((spec.kind, spec.name))


def accepted(hook: str, implementation: pluggy.HookImpl) -> tuple[str, ...]:
    """Those arguments of the hook that an implementation declares."""
    declared = inspect.signature(implementation.function).parameters
    return tuple(name for name in HOOKS[hook] if name in declared)


def _validated(plugin: Any, name: str) -> Hooks:
    _refuse_unmarked(plugin)
    hooks = _implementations(plugin, name)
    for hook, implementation in hooks:
        _check_name(hook, implementation)
        _check_shape(hook, implementation)
        _check_arguments(hook, implementation)
    return hooks


def _implementations(plugin: Any, name: str) -> Hooks:
    # A manager without specs takes any hook, and leaves the judgement, and the words, to us.
    manager = pluggy.PluginManager(specs.PROJECT)
    manager.register(plugin, name)
    callers = manager.get_hookcallers(plugin) or []
    return [(caller.name, implementation) for caller in callers for implementation in caller.get_hookimpls()]


def _refuse_unmarked(plugin: Any) -> None:
    for name, function in inspect.getmembers_static(plugin, inspect.isfunction):
        is_own = function.__module__ == getattr(plugin, "__name__", None)
        is_marked = hasattr(function, f"{specs.PROJECT}_impl")
        if name.startswith("spark_") and not is_marked and (is_own or name in HOOKS):
            raise PluginBrokenError(
                f"Its function {name} is not marked, so nothing would call it. "
                f"Put @hookimpl (from spark.hooks) above it, or rename it if it is not a hook.{did_you_mean(name, HOOKS)}"
            )


def _check_name(hook: str, implementation: pluggy.HookImpl) -> None:
    if hook not in HOOKS and not implementation.optionalhook:
        raise PluginBrokenError(
            f"There is no hook {hook}.{did_you_mean(hook, HOOKS)} The hooks are: {', '.join(HOOKS)}."
        )


def _check_shape(hook: str, implementation: pluggy.HookImpl) -> None:
    if implementation.wrapper or implementation.hookwrapper:
        raise PluginBrokenError(f"Its {hook} is a hook wrapper, which is not supported. Mark it with a bare @hookimpl.")
    if hook in specs.PROVIDING and inspect.iscoroutinefunction(implementation.function):
        raise PluginBrokenError(
            f"Its {hook} is async; this hook is called outside any event loop. Make it a plain def."
        )


def _check_arguments(hook: str, implementation: pluggy.HookImpl) -> None:
    if hook not in HOOKS:
        return
    wrong = [
        str(each) for each in inspect.signature(implementation.function).parameters.values() if _is_wrong(hook, each)
    ]
    if wrong:
        raise PluginBrokenError(
            f"Its {hook} takes {', '.join(wrong)}, which nothing would pass. "
            f"The hook is {hook}({', '.join(HOOKS[hook])}); declare those of its arguments that you need."
        )


def _is_wrong(hook: str, parameter: inspect.Parameter) -> bool:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        return True
    return parameter.name not in HOOKS[hook] and parameter.default is parameter.empty


def _call(hook: str, implementation: pluggy.HookImpl) -> list[PluginSpec]:
    try:
        returned: object = implementation.function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginBrokenError(f"Its {hook}() raised {type(error).__name__}: {error}.") from error
    expected = specs.PROVIDING[hook]
    if not isinstance(returned, list | tuple):
        raise PluginBrokenError(_returned_instead(hook, expected, returned))
    for each in returned:
        if not isinstance(each, expected):
            raise PluginBrokenError(_returned_instead(hook, expected, each, within="a list with "))
    return list(returned)


def _returned_instead(hook: str, expected: type, returned: object, *, within: str = "") -> str:
    return f"Its {hook}() returned {within}{type(returned).__name__}. Return a list of {expected.__name__}."


def _check_version(spec: PluginSpec) -> None:
    if spec.api_version == API_VERSION:
        return
    newer = "spark-graphs" if spec.api_version > API_VERSION else "the plugin"
    raise PluginBrokenError(
        f"Its {spec.kind} {spec.name!r} is written for plugin API version {spec.api_version}, but this spark-graphs "
        f"uses version {API_VERSION}. Upgrade {newer}."
    )
