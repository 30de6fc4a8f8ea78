"""Are given values the recorded ones? ``1`` is neither ``True`` nor ``1.0``, and a tuple is not a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from spark.errors import SerializationError

if TYPE_CHECKING:
    from spark.graphs.checkpoint.encoding.record_codec import RecordCodec

_UNORDERED: Final = frozenset({"$set", "$frozenset", "$dict"})
_MISSING: Final = object()


def differing_names(given: Mapping[Any, Any], recorded: Mapping[Any, Any], *, codec: RecordCodec) -> list[str]:
    """The names, sorted, of the values that differ between two mappings, or that only one of them has.

    Values are compared as the store writes them, so a value is the same before it was stored and after it was loaded.
    """
    names = sorted({*map(repr, given), *map(repr, recorded)})
    mine, theirs = _by_name(given), _by_name(recorded)
    return [name for name in names if not _is_same(mine.get(name, _MISSING), theirs.get(name, _MISSING), codec)]


def _by_name(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {repr(name): value for name, value in values.items()}


def _is_same(given: Any, recorded: Any, codec: RecordCodec) -> bool:
    if given is recorded:
        return True
    if given is _MISSING or recorded is _MISSING:
        return False
    try:
        return _text(codec.tree(given)) == _text(codec.tree(recorded))
    except SerializationError:  # a value that only formats like pickle can write
        return type(given) is type(recorded) and _is_equal(given, recorded)


def _is_equal(given: Any, recorded: Any) -> bool:
    try:
        return bool(given == recorded)
    except Exception:
        return False


def _text(tree: Any) -> str:
    return json.dumps(_in_order(tree), sort_keys=True, default=repr)


def _in_order(tree: Any) -> Any:
    """The tree with the items of sets, and of dicts with other keys than strings, sorted."""
    if type(tree) is list:
        return [_in_order(item) for item in tree]
    if type(tree) is not dict:
        return tree
    if len(tree) == 1 and not _UNORDERED.isdisjoint(tree):
        return {tag: sorted(map(_text, items)) for tag, items in tree.items()}
    return {name: _in_order(item) for name, item in tree.items()}
