"""Why does nobody provide this name? It is not installed, or blocked, or broken: said with the cure."""

from __future__ import annotations

from collections.abc import Sequence

from spark.errors import PluginBrokenError, PluginError, PluginNotFoundError
from spark.hooks.plugin_info import Plugin
from spark.hooks.plugin_specs import Claim
from spark.hooks.redaction import redact
from spark.hooks.suggestions import nearest, own_distributions, pip_line


def explain_absence(wanted: Sequence[Claim], *, asked: str, plugins: Sequence[Plugin]) -> PluginError:
    """The error to raise when no loaded plugin makes any of these claims; the first one is what messages speak of.

    :param asked: the URL that the user gave, if it was one; shown without its secrets.
    """
    what = _describe(wanted[0], asked)
    unserializable = next((plugin for plugin in plugins if _would_provide(plugin, wanted)), None)
    return _not_found(what, wanted, plugins) if unserializable is None else _unavailable(what, unserializable)


def _describe(claim: Claim, asked: str) -> str:
    kind, name = claim
    url = redact(asked)
    return f"{kind} {redact(name)!r}" + (f" (of {url!r})" if url and url != name else "")


def _would_provide(plugin: Plugin, wanted: Sequence[Claim]) -> bool:
    if plugin.info.status == "loaded":
        return False
    if plugin.specs:
        return any(claim in spec.claims() for claim in wanted for spec in plugin.specs)
    # It never got to say what it provides, so its names have to tell.
    return plugin.info.distribution in own_distributions(wanted) or plugin.info.name in {name for _, name in wanted}


def _unavailable(what: str, unserializable: Plugin) -> PluginBrokenError:
    info = unserializable.info
    error = PluginBrokenError(
        f"The {what} can't be used: the {info.label}, which provides it, is {info.status}. {info.reason}"
    )
    # What the plugin itself raised says more than our account of it.
    error.__cause__ = info.error and (info.error.__cause__ or info.error)
    return error


def _not_found(what: str, wanted: Sequence[Claim], plugins: Sequence[Plugin]) -> PluginNotFoundError:
    installed = {
        claim
        for plugin in plugins
        if plugin.info.status == "loaded"
        for spec in plugin.specs
        for claim in spec.claims()
    }
    kind = wanted[0][0]
    names = ", ".join(sorted(name for claimed, name in installed if claimed == kind)) or "none"
    said = f"No installed plugin provides the {what}; installed: {names}."
    # The cure comes last, so that its command can be copied.
    parts = [said, _unused(plugins), _cure(wanted, installed)]
    return PluginNotFoundError(" ".join(part for part in parts if part))


def _cure(wanted: Sequence[Claim], installed: set[Claim]) -> str:
    line = pip_line(wanted)
    if line:
        return f"To get it: {line}"
    if wanted[0][0] == "backend" and set("/\\") & set(wanted[0][1]):
        return "A folder is given as FileCheckpointBackend(directory=…), or as a URL: file:///absolute/path, file://~/path."
    close = nearest(wanted, installed)
    if close is None:
        return "Check the spelling, or install the plugin that provides it."
    install = "" if close in installed else f" To get that: {pip_line([close])}"
    return f"Did you mean {close[1]!r}?{install}"


def _unused(plugins: Sequence[Plugin]) -> str:
    unused = [f"{plugin.info.label} ({plugin.info.status})" for plugin in plugins if plugin.info.status != "loaded"]
    return f"Not in use, spark.hooks.plugins() says why: {', '.join(unused)}." if unused else ""
