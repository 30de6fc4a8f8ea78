"""Load every installed plugin; one that is broken is named and skipped, and harms no other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from spark.errors import PluginBrokenError
from spark.hooks import misnamed
from spark.hooks.entry_points import (
    COMMANDS,
    Candidate,
    Key,
    find_candidates,
    normalize,
    reason_to_block,
    unknown_names,
)
from spark.hooks.plugin import Plugin, PluginInfo
from spark.hooks.validation import NoHooksError, provided_by
from spark.wording import raised

OWN: Final[Key] = ("spark-graphs", "builtin")
"""The core's own entry point. Its plugin is found without a scan."""


def load_installed(
    core: Plugin, others: Sequence[Plugin], known: Mapping[Key, Plugin]
) -> tuple[dict[Key, Plugin], list[str]]:
    """All plugins that are installed, by distribution and name; and what to warn about.

    :param others: the plugins that are registered in code.
    :param known: those that were loaded before, and stay as they are.
    """
    candidates = [each for each in find_candidates() if each.key != OWN]
    fresh: dict[Key, Plugin] = {}
    for candidate in candidates:
        if candidate.key not in known:
            fresh[candidate.key] = _unless_twin(_load(candidate, core), (*others, *known.values(), *fresh.values()))
    complaints = [complaint for plugin in fresh.values() for complaint in plugin.info.complaints()]
    names = {name for each in candidates for name in each.names} | {normalize(each.info.name) for each in others}
    return dict(sorted({**known, **fresh}.items())), complaints + _unknown_names(names)


def _unknown_names(installed: set[str]) -> list[str]:
    """What to warn about in the lists of plugins, which may also name those that bring nothing but commands."""
    if not unknown_names(installed, os.environ):
        return []
    return unknown_names(installed.union(*(each.names for each in find_candidates(COMMANDS))), os.environ)


def _load(candidate: Candidate, core: Plugin) -> Plugin:
    """A plugin and its status. It is imported only when the settings allow it; whatever it does wrong harms no other."""
    info = PluginInfo(name=candidate.name, distribution=candidate.distribution, version=candidate.version)
    if reason := reason_to_block(candidate, os.environ):
        return Plugin(info=info.without_use("blocked", reason))
    started = time.perf_counter()
    try:
        plugin = _described(candidate, info, core)
    except PluginBrokenError as error:
        plugin = Plugin(info=info.without_use("broken", str(error), error))
    return replace(plugin, info=replace(plugin.info, load_seconds=time.perf_counter() - started))


def _described(candidate: Candidate, info: PluginInfo, core: Plugin) -> Plugin:
    named = _import(candidate)
    taken = dict.fromkeys(core.info.claims, "spark-graphs itself")
    try:
        provided, listeners = provided_by(named, info.label, taken=taken)
    except NoHooksError:
        raise PluginBrokenError(misnamed.without_hooks(candidate.entry_point, named)) from None
    return Plugin(info=info.with_provided(provided), listeners=tuple(listeners), module=named)


def _import(candidate: Candidate) -> Any:
    if candidate.flaw:
        raise PluginBrokenError(candidate.flaw)
    try:
        return candidate.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        whose = candidate.distribution
        cure = misnamed.not_there(candidate.entry_point, error) or (
            f"Reinstall or upgrade {whose}, or set SPARK_DISABLE_PLUGINS={whose} to do without it."
        )
        raise PluginBrokenError(f"Importing {candidate.entry_point.value} failed: {raised(error)}. {cure}") from error


def _unless_twin(plugin: Plugin, others: Iterable[Plugin]) -> Plugin:
    """The plugin; unless it is the object of another one, and would be notified twice."""
    twin = next((each for each in others if plugin.module is not None and each.module is plugin.module), None)
    if twin is None:
        return plugin
    if not twin.info.distribution:  # a project's own plugin may be installed as well: nothing is wrong
        return Plugin(
            info=plugin.info.without_use("blocked", f"It is {twin.info.origin} already, as {twin.info.name!r}.")
        )
    reason = f"It is the same object as {twin.info.label}. Remove one of the two entry points."
    return Plugin(info=plugin.info.without_use("broken", reason, PluginBrokenError(reason)))
