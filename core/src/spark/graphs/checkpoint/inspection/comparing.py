"""What differs between two values, path by path: mappings key by key, lists item by item, everything else as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from spark.graphs.checkpoint.inspection.alignment import blocks
from spark.graphs.checkpoint.inspection.difference import Difference
from spark.graphs.checkpoint.serialization.raw_object import RawObject
from spark.graphs.values.item_mapping import ItemMapping

_SEQUENCES: Final = (list, tuple)
MISSING: Final = object()
"""In the place of a value that is not there."""


def compare(path: str, before: Any, after: Any) -> Iterator[Difference]:
    """What has to change in one value to make it the other. Either may be ``MISSING``."""
    if before is after:
        return
    if before is MISSING:
        yield Difference(path, "added", after=after)
    elif after is MISSING:
        yield Difference(path, "removed", before=before)
    elif _is_mapping(before) and _is_mapping(after):
        for key in {**before, **after}:
            yield from compare(f"{path}[{key!r}]", before.get(key, MISSING), after.get(key, MISSING))
    elif type(before) is not type(after):
        yield Difference(path, "changed", before, after)
    elif isinstance(before, _SEQUENCES):
        yield from compare_items(path, before, after)
    elif type(before) is RawObject and before.type == after.type and type(before.value) is type(after.value):
        yield from _compare_raw(path, before, after)
    elif not is_same(before, after):
        yield Difference(path, "changed", before, after)


def compare_items(path: str, before: Sequence[Any], after: Sequence[Any], *, skipped: int = 0) -> Iterator[Difference]:
    """The same for two lists, of which so many items at the beginning, the same ones, are not there."""
    for kind, old_from, old_to, new_from, new_to in blocks(before, after, key=_key):
        if kind == "equal" or old_to - old_from == new_to - new_from:
            # What has the same key is compared once more, so a text that two values share hides no difference.
            for old, new in zip(range(old_from, old_to), range(new_from, new_to), strict=True):
                yield from compare(f"{path}[{skipped + new}]", before[old], after[new])
            continue
        if old_to > old_from:
            yield Difference(path, "removed", before=[*before[old_from:old_to]], at=skipped + old_from)
        if new_to > new_from:
            yield Difference(path, "added", after=[*after[new_from:new_to]], at=skipped + new_from)


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal and, down to the last part, of the same type: 1 is not True."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if _is_mapping(one):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, _SEQUENCES):
        return len(one) == len(other) and all(map(is_same, one, other))
    if type(one) is RawObject:
        return one.type == other.type and is_same(one.value, other.value)
    return _is_equal(one, other)


def _compare_raw(path: str, before: RawObject, after: RawObject) -> Iterator[Difference]:
    if not isinstance(before.value, dict):
        if not is_same(before.value, after.value):
            yield Difference(path, "changed", before, after)
        return
    for key in {**before.value, **after.value}:
        step = f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
        yield from compare(path + step, before.value.get(key, MISSING), after.value.get(key, MISSING))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict | ItemMapping)


def _key(item: Any) -> str:
    try:
        return repr(item)
    except Exception:
        return f"<{type(item).__name__}>"


def _is_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or bool(one != one and other != other)  # as nan
    except Exception:  # as arrays, which compare number by number
        return bool(_bytes_of(one) == _bytes_of(other))


def _bytes_of(value: Any) -> Any:
    """What tells values apart that can't be compared."""
    from spark.graphs.checkpoint.serialization.writer import TreeWriter

    try:
        return TreeWriter().tree(value)
    except Exception:
        return repr(value)
