"""What differs between two checkpoints, path by path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from spark.graphs.checkpoint import GraphCheckpoint
from spark.graphs.checkpoint.storage import SECTIONS


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs."""

    path: str
    change: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None


def differences(before: GraphCheckpoint, after: GraphCheckpoint) -> list[Difference]:
    """What has to change in the first to make it the second. Mappings are compared key by key, everything else as a whole."""
    return [
        difference
        for name in (*SECTIONS, "version")
        for difference in _compare(name, getattr(before, name), getattr(after, name))
    ]


def _compare(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            yield from _compare_key(f"{path}[{key!r}]", key, before, after)
    elif type(before) is not type(after) or before != after:
        yield Difference(path, "changed", before, after)


def _compare_key(path: str, key: Any, before: dict[Any, Any], after: dict[Any, Any]) -> Iterator[Difference]:
    if key not in after:
        yield Difference(path, "removed", before=before[key])
    elif key not in before:
        yield Difference(path, "added", after=after[key])
    else:
        yield from _compare(path, before[key], after[key])
