"""Why does no plugin provide this name? It is misspelt, not installed, blocked or broken: the error says which, and the cure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pkgutil import get_data
from typing import TYPE_CHECKING

from spark.errors import PluginBrokenError, PluginError, PluginNotFoundError
from spark.hooks.plugin import PluginInfo, Provided
from spark.hooks.redaction import redact
from spark.wording import nearest

if TYPE_CHECKING:
    from spark.hooks.specs import Claim


def explain_missing(wanted: Sequence[Claim], *, asked: str, plugins: Sequence[PluginInfo]) -> PluginError:
    """The error to raise when no loaded plugin makes any of these claims; messages name the first one.

    :param asked: the URL that the user gave, if it was one; shown without its secrets.
    """
    what = _describe(wanted[0], asked)
    for plugin in plugins:
        for each in plugin.provided:
            if each.reason and each.claims & set(wanted):
                return _unavailable(
                    f"{what} can't be used: the {each.label} of the {plugin.label} is skipped. {each.reason}", each
                )
    for plugin in plugins:
        if _may_provide(plugin, wanted):
            status = f"the {plugin.label}, which provides it, is {plugin.status}. {plugin.reason}"
            return _unavailable(f"{what} can't be used: {status}", plugin)
    return _not_found(what, wanted, plugins)


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


def _may_provide(plugin: PluginInfo, wanted: Sequence[Claim]) -> bool:
    """Whether something of it failed before it could say what it provides, and its names tell that it may be this."""
    if not plugin.reason or any(each.reason and each.claims for each in plugin.provided):
        return False
    ours = {extras()[claim].distribution for claim in wanted if claim in extras()}
    return plugin.distribution in ours or plugin.name in {name for _, name in wanted}


def _unavailable(message: str, why: PluginInfo | Provided) -> PluginBrokenError:
    error = PluginBrokenError(f"The {message}")
    # What the plugin itself raised says more than our account of it.
    error.__cause__ = why.error and (why.error.__cause__ or why.error)
    return error


def _not_found(what: str, wanted: Sequence[Claim], plugins: Sequence[PluginInfo]) -> PluginNotFoundError:
    installed = {claim for plugin in plugins for claim in plugin.claims}
    kind = wanted[0][0]
    names = ", ".join(sorted(name for claimed, name in installed if claimed == kind)) or "none"
    # The cure comes last, so that its command can be copied.
    sentences = [
        f"No installed plugin provides the {what}; installed: {names}.",
        _unused(plugins),
        _cure(wanted, installed),
    ]
    return PluginNotFoundError(" ".join(filter(None, sentences)))


def _unused(plugins: Sequence[PluginInfo]) -> str:
    unused = [f"{plugin.label} ({plugin.status})" for plugin in plugins if plugin.status != "loaded"]
    return f"Not in use, or only in part (spark.hooks.plugins() says why): {', '.join(unused)}." if unused else ""


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
