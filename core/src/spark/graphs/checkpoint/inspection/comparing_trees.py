"""What differs between two trees, as they are stored: values are only made of what does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spark.graphs.checkpoint.inspection.comparing import MISSING, compare, compare_items, is_same
from spark.graphs.checkpoint.inspection.difference import Difference
from spark.graphs.checkpoint.serialization.raw_reader import RawReader
from spark.graphs.checkpoint.serialization.reader import is_tag


def compare_trees(path: str, before: Any, after: Any, reader: RawReader) -> Iterator[Difference]:
    """What has to change in the value of one tree to make it the value of the other. Either may be ``MISSING``."""
    if same_tree(before, after):
        return
    if _is_plain_dict(before) and _is_plain_dict(after):
        for key in {**before, **after}:
            yield from compare_trees(f"{path}[{key!r}]", before.get(key, MISSING), after.get(key, MISSING), reader)
    elif type(before) is list and type(after) is list:
        first = _same_beginning(before, after)
        last = _same_beginning(before[first:][::-1], after[first:][::-1])
        old, new = (each[first : len(each) - last] for each in (before, after))
        yield from compare_items(path, reader.value(old, path), reader.value(new, path), skipped=first)
    else:
        yield from compare(path, *(each if each is MISSING else reader.value(each, path) for each in (before, after)))


def same_tree(one: Any, other: Any) -> bool:
    """Whether two trees are of the same value for sure: 1 is not True. Sets may be stored in another order."""
    if one is other:
        return True
    if type(one) is not type(other) or one != other:
        return False
    # Written out is faster than compared part by part, but depends on the order of keys.
    return type(one) is str or repr(one) == repr(other) or is_same(one, other)


def _is_plain_dict(tree: Any) -> bool:
    return type(tree) is dict and not is_tag(tree)


def _same_beginning(one: list[Any], other: list[Any]) -> int:
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if not same_tree(one[place], other[place])), shorter)
