"""What to do when nothing has this name: the nearest one, and the line that installs what is missing."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from spark.hooks.plugin_specs import Claim


@dataclass(frozen=True, slots=True)
class Extra:
    """An extra of spark-graphs."""

    name: str
    distribution: str
    """What it installs."""


@cache
def extras() -> Mapping[Claim, Extra]:
    """By each thing that can be missing, the extra of spark-graphs that brings it; ``extras.json`` lists them."""
    listed = json.loads(Path(__file__).with_name("extras.json").read_text(encoding="utf-8"))
    found: dict[Claim, Extra] = {}
    for name, each in listed.items():
        extra = Extra(name, each["distribution"])
        for claim in each["provides"]:
            kind, _, of = claim.partition(":")
            found[kind, of] = extra
    return found


def all_own() -> set[str]:
    """What a list of plugins may name wherever it is not installed: our own distributions."""
    return {"spark-graphs", "builtin", *(extra.distribution for extra in extras().values())}


def pip_line(wanted: Iterable[Claim]) -> str:
    """What installs the first of these that a distribution of ours provides; empty when none does."""
    known = extras()
    return next((f"pip install 'spark-graphs[{known[claim].name}]'" for claim in wanted if claim in known), "")


def own_distributions(wanted: Iterable[Claim]) -> set[str]:
    """The distributions of ours that provide any of these."""
    return {extras()[claim].distribution for claim in wanted if claim in extras()}


def nearest(wanted: Sequence[Claim], installed: Iterable[Claim]) -> Claim | None:
    """The claim whose name is most like the wanted one, among what is installed or could be."""
    kinds = {kind for kind, _ in wanted}
    claim_of = {claim[1]: claim for claim in (*extras(), *installed) if claim[0] in kinds}
    close = difflib.get_close_matches(wanted[0][1], sorted(claim_of), n=1)
    return claim_of[close[0]] if close else None
