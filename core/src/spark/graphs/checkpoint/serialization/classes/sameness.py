"""Whether a value that went through somebody else's hands is exactly what it was: ``==`` is not enough."""

from __future__ import annotations

from typing import Any


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are of one type and take the same to rebuild, down to the last part, as far as pickle can tell.

    A value that says nothing about that is not the same as any other.
    """
    try:
        return _is_same(one, other, {})
    except Exception:
        return False


def _is_same(one: Any, other: Any, compared: dict[tuple[int, int], Any]) -> bool:
    if one is other or (id(one), id(other)) in compared:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is float or kind is complex:
        return repr(one) == repr(other)
    if kind in (int, str, bytes, bool):
        return bool(one == other)
    compared[id(one), id(other)] = one, other  # kept alive, so that no other objects get these ids
    if kind in (list, tuple):
        return len(one) == len(other) and all(_is_same(*pair, compared) for pair in zip(one, other, strict=True))
    if kind is dict:
        return _is_same(list(one.items()), list(other.items()), compared)
    if kind in (set, frozenset):
        there = {item: item for item in other}
        return one == other and all(_is_same(item, there[item], compared) for item in one)
    return _is_same(_parts(one), _parts(other), compared)


def _parts(value: Any) -> Any:
    """What pickle would rebuild a value from; what it would only name, such as a class, is itself."""
    reduced = value.__reduce_ex__(4)
    if isinstance(reduced, str):
        raise TypeError(f"{reduced} is only named")  # two objects, or they would have been one
    make, arguments, *rest = reduced
    state, items, pairs = (*rest, None, None, None)[:3]
    return [make, arguments, state, None if items is None else list(items), None if pairs is None else list(pairs)]
