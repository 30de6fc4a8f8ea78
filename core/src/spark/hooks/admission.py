"""May this plugin be imported? ``SPARK_PLUGINS`` and ``SPARK_DISABLE_PLUGINS`` decide, before anything is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

from spark.hooks.entry_points import Candidate, normalize
from spark.hooks.suggestions import all_own

ALLOW: Final = "SPARK_PLUGINS"
BLOCK: Final = "SPARK_DISABLE_PLUGINS"


def reason_to_block(candidate: Candidate, environ: Mapping[str, str]) -> str:
    """Why the plugin must not be imported, and what to do about it; empty when it may be.

    Both lists are separated by commas and name entry points or distributions. Without an allow-list everything may be
    imported; with an empty one nothing. The block-list wins.
    """
    names = {normalize(candidate.name), normalize(candidate.distribution)}
    blocked = names & _listed(environ.get(BLOCK, ""))
    if blocked:
        return f"{BLOCK} lists {sorted(blocked)[0]!r}. To use it, take it off that list."
    if ALLOW in environ and not names & _listed(environ[ALLOW]):
        return f"{ALLOW}={environ[ALLOW]!r} does not list it. To use it, add {candidate.distribution!r} to that list."
    return ""


def misspelt(candidates: Iterable[Candidate], environ: Mapping[str, str]) -> list[str]:
    """A sentence for each name in the two lists that no installed plugin has, with the nearest that one has.

    A distribution of ours may be listed wherever it is not installed.
    """
    known = {normalize(name) for each in candidates for name in (each.name, each.distribution)}
    return [
        f"{variable} lists {name!r}, and no installed plugin is called that.{_nearest(name, known)}"
        for variable in (ALLOW, BLOCK)
        for name in sorted(_listed(environ.get(variable, "")) - known - all_own())
    ]


def _nearest(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name[:100], sorted(known | all_own()), n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" There are: {', '.join(sorted(known))}." if known else ""


def _listed(value: str) -> set[str]:
    return {normalize(name.strip()) for name in value.split(",") if name.strip()}
