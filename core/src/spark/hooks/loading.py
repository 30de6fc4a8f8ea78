"""Load one plugin: admit, import, examine it, and collect its specs. Whatever it does wrong harms no other."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import metadata
from typing import Any, Final

import pluggy

from spark.errors import PluginBrokenError
from spark.hooks import specs
from spark.hooks.admission import BLOCK, reason_to_block
from spark.hooks.entry_points import UNKNOWN, Candidate, normalize
from spark.hooks.examination import check_specs, collect, examine
from spark.hooks.plugin_info import Plugin, PluginInfo, Status
from spark.hooks.plugin_specs import Claim, PluginSpec

CORE: Final = "spark-graphs"
BUILTIN: Final = "builtin"
_BUILTIN_MODULE: Final = "spark.hooks.builtin"


def load_plugin(candidate: Candidate, *, environ: Mapping[str, str], core: Plugin) -> Plugin:
    """What became of a plugin. It is imported only when the settings allow it."""
    reason = reason_to_block(candidate, environ)
    if reason:
        return Plugin(info=_info(candidate, "blocked", reason=reason))
    started = time.perf_counter()
    plugin = _load(candidate, core)
    return replace(plugin, info=replace(plugin.info, load_seconds=time.perf_counter() - started))


def load_core() -> Plugin:
    """What the core brings by itself, through the same hooks as any plugin, but found without a scan."""
    started = time.perf_counter()
    module = importlib.import_module(_BUILTIN_MODULE)
    hooks = examine(module, BUILTIN)
    found = collect(hooks)
    check_specs(found)
    info = PluginInfo(
        name=BUILTIN,
        distribution=CORE,
        version=_core_version(),
        status="loaded",
        provides=_provided(hooks, found),
        claims=_claimed(found),
        load_seconds=time.perf_counter() - started,
    )
    return Plugin(info=info, specs=tuple(found), hooks=tuple(hooks), module=module)


def is_core(candidate: Candidate) -> bool:
    """Whether this is the entry point of the core's own plugin, which is never scanned for and never blocked."""
    return normalize(candidate.distribution) == CORE and candidate.name == BUILTIN


def broken(plugin: Plugin, error: Exception) -> Plugin:
    """The same plugin, out of service: it keeps its specs, so that asking for one of them can say what is wrong."""
    info = replace(plugin.info, status="broken", reason=str(error), provides=(), claims=frozenset(), error=error)
    return replace(plugin, info=info, hooks=())


def _load(candidate: Candidate, core: Plugin) -> Plugin:
    plugin = Plugin(info=_info(candidate, "loaded"))
    try:
        module = _import(candidate)
        hooks = _examined(module, candidate.name)
        found = collect(hooks)
        plugin = replace(plugin, specs=tuple(found))
        check_specs(found)
        _refuse_core_names(found, core)
    except PluginBrokenError as error:
        return broken(plugin, error)
    info = replace(plugin.info, provides=_provided(hooks, found), claims=_claimed(found))
    return replace(plugin, info=info, hooks=tuple(hooks), module=module)


def _import(candidate: Candidate) -> Any:
    if candidate.flaw:
        raise PluginBrokenError(candidate.flaw)
    try:
        return candidate.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginBrokenError(
            f"Importing {candidate.entry_point.value} failed: {type(error).__name__}: {error}. Reinstall or upgrade "
            f"{candidate.distribution}, or set {BLOCK}={candidate.distribution} to do without it."
        ) from error


def _examined(module: Any, name: str) -> list[tuple[str, pluggy.HookImpl]]:
    try:
        return examine(module, name)
    except PluginBrokenError:
        raise
    except Exception as error:  # an entry point may name any object, which may raise whenever it is looked at
        raise PluginBrokenError(f"Looking for its hooks failed: {type(error).__name__}: {error}.") from error


def _refuse_core_names(found: list[PluginSpec], core: Plugin) -> None:
    taken = _claimed(core.specs)
    for spec in found:
        for what, name in sorted(spec.claims() & taken):
            raise PluginBrokenError(
                f"It claims the {what} {name!r}, which {CORE} itself provides and which can't be replaced. "
                f"Give the plugin's {spec.kind} a name of its own."
            )


def _info(candidate: Candidate, status: Status, *, reason: str = "") -> PluginInfo:
    return PluginInfo(
        name=candidate.name,
        distribution=candidate.distribution,
        version=candidate.version,
        status=status,
        reason=reason,
    )


def _provided(hooks: list[tuple[str, pluggy.HookImpl]], found: list[PluginSpec]) -> tuple[str, ...]:
    events = [f"event:{hook}" for hook, _ in hooks if hook in specs.EVENTS]
    return (*(f"{spec.kind}:{spec.name}" for spec in found), *events)


def _claimed(found: Iterable[PluginSpec]) -> frozenset[Claim]:
    return frozenset[Claim]().union(*(spec.claims() for spec in found))


def _core_version() -> str:
    try:
        return metadata.version(CORE)
    except metadata.PackageNotFoundError:  # run from a source tree
        return UNKNOWN
