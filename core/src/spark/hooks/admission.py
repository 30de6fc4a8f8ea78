"""May this plugin be imported? ``SPARK_PLUGINS`` and ``SPARK_DISABLE_PLUGINS`` decide, before anything is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from spark.hooks.entry_points import Candidate, normalize

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


def _listed(value: str) -> set[str]:
    return {normalize(name.strip()) for name in value.split(",") if name.strip()}
