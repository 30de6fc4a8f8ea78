"""What differs between two checkpoints, path by path: mappings key by key, lists item by item, everything else as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from spark.graphs.checkpoint import GraphCheckpoint
from spark.graphs.checkpoint.storage import SECTIONS
from spark_cli.output import plain


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs, or items that stand one after the other in a list."""

    path: str
    change: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None
    at: int | None = None
    """Where in the list at this path the items were added, or removed: ``after``, or ``before``, is the list of these."""


def differences(before: GraphCheckpoint, after: GraphCheckpoint) -> list[Difference]:
    """What has to change in the first to make it the second."""
    return [
        difference
        for name in (*SECTIONS, "version")
        for difference in _compare(name, getattr(before, name), getattr(after, name))
    ]


def _compare(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            yield from _compare_key(f"{path}[{key!r}]", key, before, after)
    elif type(before) is type(after) and isinstance(before, list | tuple):
        yield from _compare_items(path, before, after)
    elif not _is_same(before, after):
        yield Difference(path, "changed", before, after)


def _compare_key(path: str, key: Any, before: dict[Any, Any], after: dict[Any, Any]) -> Iterator[Difference]:
    if key not in after:
        yield Difference(path, "removed", before=before[key])
    elif key not in before:
        yield Difference(path, "added", after=after[key])
    else:
        yield from _compare(path, before[key], after[key])


def _compare_items(path: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[Difference]:
    """Positions of what was removed are those of before, all others those of after."""
    first = _count_of_same(before, after)
    last = _count_of_same(before[first:][::-1], after[first:][::-1])
    old, new = before[first : len(before) - last], after[first : len(after) - last]
    for kind, old_from, old_to, new_from, new_to in _blocks(old, new):
        if kind == "equal" or old_to - old_from == new_to - new_from:
            for each, other in zip(range(old_from, old_to), range(new_from, new_to), strict=True):
                yield from _compare(f"{path}[{first + other}]", old[each], new[other])
            continue
        if old_to > old_from:
            yield Difference(path, "removed", before=[*old[old_from:old_to]], at=first + old_from)
        if new_to > new_from:
            yield Difference(path, "added", after=[*new[new_from:new_to]], at=first + new_from)


def _blocks(before: Sequence[Any], after: Sequence[Any]) -> Sequence[tuple[str, int, int, int, int]]:
    """As difflib has them: the kind of each block, and where it begins and ends in both."""
    if not before or not after:
        return [("replace", 0, len(before), 0, len(after))] if before or after else []
    # What looks alike is compared once more, so a text that two values share hides no difference.
    return SequenceMatcher(None, _texts(before), _texts(after)).get_opcodes()


def _texts(items: Sequence[Any]) -> list[str]:
    return [repr(plain(item)) for item in items]


def _count_of_same(before: Sequence[Any], after: Sequence[Any]) -> int:
    """How many items are the same from the beginning on."""
    pairs = zip(before, after, strict=False)
    shorter = min(len(before), len(after))
    return next((number for number, (old, new) in enumerate(pairs) if not _is_same(old, new)), shorter)


def _is_same(before: Any, after: Any) -> bool:
    try:
        return type(before) is type(after) and bool(before == after)
    except Exception:  # as arrays, which compare number by number
        return repr(plain(before)) == repr(plain(after))
