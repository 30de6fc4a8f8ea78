"""Why does no plugin provide this name? It is misspelt, not installed, blocked or broken: the error says which, and the cure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pkgutil import get_data
from typing import TYPE_CHECKING

from spark.errors import PluginBrokenError, PluginError, PluginNotFoundError
from spark.hooks.plugin import Plugin
from spark.hooks.redaction import redact
from spark.wording import nearest

if TYPE_CHECKING:
    from spark.hooks.specs import Claim


def explain_missing(wanted: Sequence[Claim], *, asked: str, plugins: Sequence[Plugin]) -> PluginError:
    """The error to raise when no loaded plugin makes any of these claims; messages name the first one.

    :param asked: the URL that the user gave, if it was one; shown without its secrets.
    """
    what = _describe(wanted[0], asked)
    unavailable = next((plugin for plugin in plugins if _would_provide(plugin, wanted)), None)
    return _not_found(what, wanted, plugins) if unavailable is None else _unavailable(what, unavailable)


@dataclass(frozen=True, slots=True)
class Extra:
    """An extra of spark-graphs."""

    name: str
    distribution: str
    """What it installs."""

    @property
    def command(self) -> str:
        """What installs it."""
        return f"pip install 'spark-graphs[{self.name}]'"


@cache
def extras() -> Mapping[Claim, Extra]:
    """By each name that can be missing, the extra of spark-graphs that provides it; ``extras.json`` lists them."""
    # Through the loader, since the library may be imported from a zip file.
    listed = json.loads(get_data("spark.hooks", "extras.json") or b"{}")
    found: dict[Claim, Extra] = {}
    for name, each in listed.items():
        for claim in each["provides"]:
            kind, _, of = claim.partition(":")
            found[kind, of] = Extra(name, each["distribution"])
    return found


def our_plugins() -> set[str]:
    """The names that a list of plugins may hold wherever they are not installed: those of our own distributions."""
    return {"spark-graphs", "builtin", *(extra.distribution for extra in extras().values())}


def _describe(claim: Claim, asked: str) -> str:
    kind, name = claim
    url = redact(asked)
    return f"{kind} {redact(name)!r}" + (f" (of {url!r})" if url and url != name else "")


def _would_provide(plugin: Plugin, wanted: Sequence[Claim]) -> bool:
    if plugin.is_loaded:
        return False
    if plugin.specs:
        return any(claim in spec.claims() for claim in wanted for spec in plugin.specs)
    # It failed before it could say what it provides, so its names have to tell.
    ours = {extras()[claim].distribution for claim in wanted if claim in extras()}
    return plugin.info.distribution in ours or plugin.info.name in {name for _, name in wanted}


def _unavailable(what: str, plugin: Plugin) -> PluginBrokenError:
    info = plugin.info
    error = PluginBrokenError(
        f"The {what} can't be used: the {info.label}, which provides it, is {info.status}. {info.reason}"
    )
    # What the plugin itself raised says more than our account of it.
    error.__cause__ = info.error and (info.error.__cause__ or info.error)
    return error


def _not_found(what: str, wanted: Sequence[Claim], plugins: Sequence[Plugin]) -> PluginNotFoundError:
    installed = {claim for plugin in plugins for claim in plugin.info.claims}
    kind = wanted[0][0]
    names = ", ".join(sorted(name for claimed, name in installed if claimed == kind)) or "none"
    # The cure comes last, so that its command can be copied.
    sentences = [
        f"No installed plugin provides the {what}; installed: {names}.",
        _unused(plugins),
        _cure(wanted, installed),
    ]
    return PluginNotFoundError(" ".join(filter(None, sentences)))


def _unused(plugins: Sequence[Plugin]) -> str:
    unused = [f"{plugin.info.label} ({plugin.info.status})" for plugin in plugins if not plugin.is_loaded]
    return f"Installed but not in use (spark.hooks.plugins() says why): {', '.join(unused)}." if unused else ""


def _cure(wanted: Sequence[Claim], installed: Iterable[Claim]) -> str:
    known = extras()
    extra = next((known[claim] for claim in wanted if claim in known), None)
    if extra is not None:
        return f"To get it: {extra.command}"
    kinds = {kind for kind, _ in wanted}
    claim_of = {claim[1]: claim for claim in (*known, *installed) if claim[0] in kinds}
    close = nearest(wanted[0][1], claim_of)
    if close is None:
        return "Check the spelling, or install the plugin that provides it."
    install = "" if claim_of[close] in installed else f" To get that: {known[claim_of[close]].command}"
    return f"Did you mean {close!r}?{install}"
