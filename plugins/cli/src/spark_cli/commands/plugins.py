"""``spark plugins``: the installed plugins and their status, without typer, whose import takes longer than to find them."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spark_cli.output import say, say_lines, say_table, tell

if TYPE_CHECKING:
    from spark.hooks import PluginInfo


def show_plugins(as_json: bool) -> bool:
    """Print the report; returns whether every plugin that may be used can be."""
    from spark.hooks import plugins

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = plugins()
    reasons = [info.reason for info in found if info.status == "broken"]
    for text in (str(each.message) for each in warned):
        if not text.endswith(tuple(reasons)):  # broken ones are in the list
            tell(f"spark: {text}")
    lines = [_line(info, found) for info in found]
    if as_json:
        say_lines(json.dumps(lines, indent=2))  # say_json would load pydantic
    else:
        _print(lines)
    return all(line["status"] in ("loaded", "blocked") for line in lines)


def _line(info: PluginInfo, found: Sequence[PluginInfo]) -> dict[str, Any]:
    rivals = _rivals(info, found)
    return {
        "name": info.name,
        "distribution": info.distribution,
        "version": info.version,
        "provides": list(info.provides),
        "status": "conflicting" if rivals else info.status,
        "reason": rivals or info.reason,
        "load_milliseconds": round(info.load_seconds * 1000, 1),
    }


def _rivals(info: PluginInfo, found: Sequence[PluginInfo]) -> str:
    """Why it conflicts with others; empty when it does not. Any number of plugins may listen to one event."""
    claims = Counter(claim for each in found for claim in each.claims)
    shared = [claim for claim in info.claims if claims[claim] > 1]
    if not shared:
        return ""
    others = sorted({each.distribution for each in found if each is not info and set(shared) & set(each.claims)})
    names = ", ".join(f"{kind} {name!r}" for kind, name in sorted(shared))
    return (
        f"{names}: also claimed by {', '.join(others) or info.distribution}. Uninstall one, or name the one not to use in "
        "SPARK_DISABLE_PLUGINS."
    )


def _print(lines: Sequence[dict[str, Any]]) -> None:
    titles = ("NAME", "DISTRIBUTION", "VERSION", "STATUS", "LOADED IN", "PROVIDES")
    say_table(
        titles,
        [
            (
                line["name"],
                line["distribution"],
                line["version"],
                line["status"],
                f"{line['load_milliseconds']} ms",
                ", ".join(line["provides"]),
            )
            for line in lines
        ],
    )
    for line in lines:
        if line["reason"]:
            say("")
            say(f"{line['name']} ({line['distribution']}) is {line['status']}. {line['reason']}")
