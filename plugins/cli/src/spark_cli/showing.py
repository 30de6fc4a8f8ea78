"""A stored value on one line: in full, or what it is about."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sized
from typing import Any, Final

from spark_cli.output import plain, shortened

_FEW: Final = 20
"""Lists and mappings of so many items are written in full, if that is short."""


def summary(value: Any) -> str:
    """The value, or the beginning of it; of a long list or mapping how many items it has, and of a list the last one."""
    if isinstance(value, list | tuple) and len(value) > _FEW:
        return shortened(f"{counted(len(value), 'item')}, the last one: {in_full(value[-1])}")
    if isinstance(value, dict) and len(value) > _FEW:
        some = ", ".join(in_full(key) for key in list(value)[:_FEW])
        return shortened(f"{counted(len(value), 'key')}: {some}, …")
    return shortened(in_full(value))


def in_full(value: Any) -> str:
    """The value as text where it is one, otherwise as JSON."""
    # What is stored may hold whatever a terminal takes for commands; JSON spells control characters out.
    is_safe = isinstance(value, str) and value.isprintable()
    return value if is_safe else json.dumps(plain(value))


def maps_under_way(frontier: Any) -> list[str]:
    """A line for each map in stored pending work: how many of its items are done, have begun, and are still to run."""
    tokens, contents = (frontier.get(name) for name in ("tokens", "contents")) if isinstance(frontier, dict) else (0, 0)
    if not isinstance(tokens, dict) or not isinstance(contents, dict):
        return []
    tokens = {id: token for id, token in tokens.items() if isinstance(token, dict)}
    done = Counter(id.partition(".")[0] for id in contents if "." in id)
    # What has the id of an item is its first token, which has failed and waits to be executed again.
    scopes = [token.get("scope") for id, token in tokens.items() if "." not in id]
    begun = Counter(str(scope[0]) for scope in {tuple(scope) for scope in scopes if isinstance(scope, list)} if scope)
    return [
        _map_line(token, items, done[id], begun[id])
        for id, token in tokens.items()
        if token.get("over") and isinstance(items := contents.get(token.get("content")), list | tuple | dict)
    ]


def _map_line(token: Mapping[str, Any], items: Sized, done: int, begun: int) -> str:
    source, node, key = (in_full(token.get(name)) for name in ("source", "node", "over"))
    left = len(items) - done - begun
    return f"{source}, each {key} → {node}: {done:,} of {counted(len(items), 'item')} done, {begun:,} running, {left:,} waiting"


def counted(count: int, noun: str) -> str:
    """``3 items``, ``1 item``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
