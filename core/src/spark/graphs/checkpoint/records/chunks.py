"""How a mapping or a list is stored that is kept in chunks, and how it is put together again.

It is ``{"$chunks": {"kind": "mapping" or "list", "writer": …, "refs": […], "rent": …, "tail": part, "apart": part}}``. The
references are to parts that are blobs, oldest first; where another writer made one, it names that. ``rent`` is how many bytes
of the tail were written again since it was last emptied. A part is ``{"values": {key: value}, "places": […], "removed": [key]}``.
Of several values of one key, that of the last part counts; ``removed`` are keys that earlier parts have, and that are there no
more. Places are numbers that order the items: one by one, or as ``[first, count]`` for neighbours. The keys of a list are its
places, and where there is neither a reference nor anything apart, the items of a mapping stand in their order. What may refer to
blobs itself is never inside of one: it is ``apart``.

Older releases stored ``{"$parts": {"0": reference or {"values": {…}}, …}}``: parts that follow one another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Final

from spark.errors import CheckpointDamagedError

TAG: Final = "$chunks"
_OLDER_TAG: Final = "$parts"
_CONTENT: Final = frozenset({"kind", "writer", "codecs", "refs", "tail", "apart", "rent"})
_PART: Final = frozenset({"values", "places", "removed"})
_LONGEST_PLACE: Final = 25
"""Characters of a number."""

Item = tuple["int | float", str, Any]
"""Place, key and value."""


def content_of(tree: Any) -> dict[str, Any] | None:
    """What is stored of a mapping or a list in chunks, or None where the tree is something else.

    :raises CheckpointDamagedError: it is meant to be that, and is not.
    """
    if type(tree) is not dict or len(tree) != 1 or TAG not in tree:
        return None
    content = tree[TAG]
    if type(content) is not dict or not content.keys() <= _CONTENT or content.get("kind") not in ("mapping", "list"):
        raise _damaged()
    if type(content.get("refs", [])) is not list or type(content.get("writer", "")) is not str:
        raise _damaged()
    if type(content.get("rent", 0)) is not int or content.get("rent", 0) < 0:
        raise _damaged()
    return content


def values_apart(content: dict[str, Any]) -> dict[str, Any]:
    """The values that may refer to blobs, by their keys.

    :raises CheckpointDamagedError: they are not valid.
    """
    return _values(content["apart"]) if "apart" in content else {}


def parts_of(content: dict[str, Any]) -> Iterator[tuple[dict[Any, int | float], list[Any]]]:
    """Of each part of a mapping or a list the keys with their places, and the removed keys, once every reference was replaced
    by the part that it refers to. The keys of a list are numbers.

    :raises CheckpointDamagedError: the parts are not valid.
    """
    is_list = content["kind"] == "list"
    for part, may_lack_places in _parts(content):
        values = _values(part)
        places = _places(part, values, is_list=is_list, may_lack=may_lack_places)
        removed = _removed(part)
        yield (
            dict(zip(places if is_list else values, places, strict=True)),
            [*map(_number, removed)] if is_list else removed,
        )


def values_of(parts: Iterable[Any], removed: Any) -> dict[str, Any]:
    """The values in these parts of a mapping by their keys: of several of one key, the last one counts.

    :param removed: what stands for a key that was removed.
    :raises CheckpointDamagedError: the parts are not valid.
    """
    found: dict[str, Any] = {}
    for part in parts:
        values = _values(part)
        found |= dict.fromkeys(_removed(part), removed)
        found |= values
    return found


def joined(tree: Any) -> Any:
    """A mapping or a list as if it had never been in chunks, once every reference was replaced by the part that it refers to.

    :raises CheckpointDamagedError: the parts are not valid, or don't fit together.
    """
    content = content_of(tree)
    if content is None:
        return tree
    items = sorted(_items(content).values(), key=lambda item: item[0])
    for one, other in pairwise(items):
        if one[0] == other[0]:
            raise CheckpointDamagedError(f"two items of one of its sections have the same place, {one[0]}")
    if content["kind"] == "list":
        return [value for _, _, value in items]
    return {key: value for _, key, value in items}


def _items(content: dict[str, Any]) -> dict[str, Item]:
    """The items that count, by their keys."""
    is_list = content["kind"] == "list"
    for key, value in values_apart(content).items():
        content["apart"]["values"][key] = joined(value)
    items: dict[str, Item] = {}
    for part, may_lack_places in _parts(content):
        values = _values(part)
        for key in _removed(part):
            items.pop(key, None)
        places = _places(part, values, is_list=is_list, may_lack=may_lack_places)
        for place, (key, value) in zip(places, values.items(), strict=True):
            items[key] = place, key, value
    return items


def _parts(content: dict[str, Any]) -> Iterator[tuple[Any, bool]]:
    """The parts, oldest first, and whether they may lack places."""
    parts = list(content.get("refs", ()))
    may_lack_places = not parts and "apart" not in content
    parts += [content[name] for name in ("tail", "apart") if name in content]
    for part in parts:
        yield part, may_lack_places


def _values(part: Any) -> dict[str, Any]:
    values = part.get("values") if type(part) is dict and part.keys() <= _PART else None
    if type(values) is not dict:
        raise _damaged()
    return values


def _removed(part: dict[str, Any]) -> list[str]:
    removed = part.get("removed", [])
    if type(removed) is not list or not {str}.issuperset(map(type, removed)):
        raise _damaged()
    return removed


def _places(part: dict[str, Any], values: dict[str, Any], *, is_list: bool, may_lack: bool) -> list[int | float]:
    if is_list:
        return [_number(key) for key in values]
    stored = part.get("places")
    if stored is None and (may_lack or not values):
        return list(range(len(values)))
    if type(stored) is not list:
        raise _damaged()
    places: list[int | float] = []
    for each in _runs(stored):
        if len(each) > len(values) - len(places):  # before it takes up memory
            raise _uneven()
        places += each
    if len(places) < len(values):
        raise _uneven()
    return places


def _runs(stored: list[Any]) -> Iterator[range | tuple[int | float]]:
    for each in stored:
        if type(each) is int or (type(each) is float and math.isfinite(each)):
            yield (each,)
        elif type(each) is list and [type(part) for part in each] == [int, int] and 0 < each[1] < 2**31:
            yield range(each[0], each[0] + each[1])
        else:
            raise _damaged()


def _number(key: str) -> int | float:
    try:
        number = int(key) if key.lstrip("-").isdecimal() and len(key) <= _LONGEST_PLACE else float(key)
    except ValueError:
        raise _damaged() from None
    if str(number) != key or not math.isfinite(number):
        raise _damaged()
    return number


def _uneven() -> CheckpointDamagedError:
    return CheckpointDamagedError("a chunk of one of its sections has not as many places as values")


def _damaged() -> CheckpointDamagedError:
    return CheckpointDamagedError("a chunk of one of its sections is not valid")


# What older releases stored.


def older_parts(values: dict[str, Any]) -> dict[str, Any] | None:
    """The trees of a mapping's parts by their numbers, or None where it has none.

    :raises CheckpointDamagedError: it is meant to have, and they are not valid.
    """
    if len(values) != 1 or _OLDER_TAG not in values:
        return None
    parts = values[_OLDER_TAG]
    if type(parts) is not dict:
        raise CheckpointDamagedError("the chunks of one of its sections are not valid")
    return parts


def older_values(part: Any) -> dict[str, Any]:
    """The values in the tree of a part that is not a reference.

    :raises CheckpointDamagedError: it is no part.
    """
    values = part.get("values") if type(part) is dict and len(part) == 1 else None
    if type(values) is not dict:
        raise _damaged()
    return values


def older_joined(values: dict[str, Any]) -> dict[str, Any]:
    """A mapping of which the parts, if it has any, are put together.

    :raises CheckpointDamagedError: they are not valid.
    """
    parts = older_parts(values)
    if parts is None:
        return values
    whole: dict[str, Any] = {}
    for part in parts.values():
        whole |= older_values(part)
    return whole
