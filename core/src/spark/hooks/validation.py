"""What does a plugin provide, and is it written as it should be? Each hook and each spec is judged by itself.

pluggy ignores a function that is not marked, and never calls a misspelt hook. Both are mistakes, and reported as such.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import pluggy

from spark.errors import PluginBrokenError
from spark.hooks import specs
from spark.hooks.plugin import Listener, Provided
from spark.hooks.specs import Claim, PluginSpec
from spark.wording import did_you_mean, raised

HOOKS = {name: tuple(inspect.signature(getattr(specs, name)).parameters) for name in (*specs.PROVIDING, *specs.EVENTS)}
"""Every hook, and its arguments."""

Hooks: TypeAlias = list[tuple[str, pluggy.HookImpl]]
"""The hooks that a plugin implements, each with its implementation."""


class NoHooksError(PluginBrokenError):
    """This object implements no hook."""


def provided_by(plugin: Any, label: str, *, taken: Mapping[Claim, str]) -> tuple[list[Provided], list[Listener]]:
    """What an object with hooks provides, with what of it is skipped, and why; and what of it listens to events.

    :param label: how messages call the plugin.
    :param taken: the names that it can't have, each with who has it.
    :raises NoHooksError: it has no hooks.
    :raises PluginBrokenError: it can't even be looked at.
    """
    try:
        return _provided_by(plugin, label, dict(taken))
    except PluginBrokenError:
        raise
    except Exception as error:  # it may be any object, which may raise whenever it is looked at
        raise PluginBrokenError(f"Looking at its hooks failed: {raised(error)}.") from error


def _provided_by(plugin: Any, label: str, owners: dict[Claim, str]) -> tuple[list[Provided], list[Listener]]:
    hooks, provided, listeners = _implementations(plugin, label), list(_unmarked(plugin)), []
    if not hooks and not provided:
        raise NoHooksError("It has no hooks. Mark each function that implements one with @hookimpl (from spark.hooks).")
    for hook, implementation in hooks:
        if flaw := _flaw_of(hook, implementation):
            provided.append(Provided(kind="hook", name=hook, reason=flaw))
        elif hook in specs.PROVIDING:
            provided += _provided_by_hook(hook, implementation, owners)
        elif hook in HOOKS:
            provided.append(Provided(kind="event", name=hook))
            listeners.append(_listener(hook, implementation))
    return provided, listeners


def _implementations(plugin: Any, label: str) -> Hooks:
    # A manager without specs takes any hook, and leaves the judgement, and the words, to us.
    manager = pluggy.PluginManager(specs.PROJECT)
    manager.register(plugin, label)
    callers = manager.get_hookcallers(plugin) or []
    hooks = [(caller.name, implementation) for caller in callers for implementation in caller.get_hookimpls()]
    return sorted(hooks, key=lambda each: each[0] in specs.EVENTS)  # what is provided comes first in reports


def _unmarked(plugin: Any) -> Iterator[Provided]:
    for name, function in inspect.getmembers_static(plugin, inspect.isfunction):
        is_own = not inspect.ismodule(plugin) or function.__module__ == plugin.__name__
        is_marked = hasattr(function, f"{specs.PROJECT}_impl")
        if name.startswith("spark_") and not is_marked and (is_own or name in HOOKS):
            reason = (
                "It is not marked, so nothing would call it. Put @hookimpl (from spark.hooks) above it, or rename it if it is "
                f"not a hook.{did_you_mean(name, HOOKS)}"
            )
            yield Provided(kind="hook", name=name, reason=reason)


def _flaw_of(hook: str, implementation: pluggy.HookImpl) -> str:
    """What is wrong with how a hook is declared; empty when nothing is."""
    if hook not in HOOKS:
        unknown = f"There is no hook {hook}.{did_you_mean(hook, HOOKS)} The hooks are: {', '.join(HOOKS)}."
        return "" if implementation.optionalhook else unknown
    if implementation.wrapper or implementation.hookwrapper:
        return "It is a hook wrapper, which is not supported. Mark it with a bare @hookimpl."
    if hook in specs.PROVIDING and inspect.iscoroutinefunction(implementation.function):
        return "It is async, but it is called outside any event loop. Make it a plain def."
    parameters = inspect.signature(implementation.function).parameters.values()
    wrong = [str(each) for each in parameters if _is_wrong(hook, each)]
    if "self" in wrong and inspect.isclass(implementation.plugin):
        return f"It takes self, but {implementation.plugin.__name__} is a class: give an instance of it."
    if wrong:
        return (
            f"It takes {', '.join(wrong)}, which nothing would pass. "
            f"The hook is {hook}({', '.join(HOOKS[hook])}); declare those of its arguments that you need."
        )
    return ""


def _is_wrong(hook: str, parameter: inspect.Parameter) -> bool:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        return True
    return parameter.name not in HOOKS[hook] and parameter.default is parameter.empty


def _provided_by_hook(hook: str, implementation: pluggy.HookImpl, owners: dict[Claim, str]) -> list[Provided]:
    """What a hook returns, each spec with its flaw; ``owners`` gets the names that they claim."""
    try:
        returned: object = implementation.function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return [Provided(kind="hook", name=hook, reason=f"It raised {raised(error)}.", error=error)]
    if not isinstance(returned, list | tuple):
        return [Provided(kind="hook", name=hook, reason=_instead(hook, returned))]
    return [_provided(hook, spec, owners) for spec in returned]


def _provided(hook: str, spec: Any, owners: dict[Claim, str]) -> Provided:
    if not isinstance(spec, specs.PROVIDING[hook]):
        return Provided(kind="hook", name=hook, reason=_instead(hook, spec, within="a list with "))
    claims: frozenset[Claim] = frozenset()
    with suppress(Exception):  # of a damaged spec, as far as they can be told
        claims = spec.claims()
    reason = spec.flaw() or _taken(spec, claims, owners)
    if not reason:
        owners |= dict.fromkeys(claims, "another of its specs")
    return Provided(kind=spec.kind, name=str(spec.name), reason=reason, claims=claims, spec=spec)


def _taken(spec: PluginSpec, claims: frozenset[Claim], owners: Mapping[Claim, str]) -> str:
    for kind, name in sorted(claims & owners.keys()):
        return f"It claims the {kind} {name!r}, which {owners[kind, name]} has. Give it a name of its own."
    return ""


def _instead(hook: str, returned: object, *, within: str = "") -> str:
    return f"It returned {within}{type(returned).__name__}. Return a list of {specs.PROVIDING[hook].__name__}."


def _listener(event: str, implementation: pluggy.HookImpl) -> Listener:
    declared = inspect.signature(implementation.function).parameters
    # ``tryfirst`` comes before all others, ``trylast`` after them.
    place = (implementation.trylast, not implementation.tryfirst, implementation.plugin_name)
    arguments = tuple(name for name in HOOKS[event] if name in declared)
    return Listener(implementation.plugin_name, implementation.function, arguments, event=event, place=place)
