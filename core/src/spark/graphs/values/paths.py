"""How messages name a part of a value: by the path that leads to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from reprlib import Repr
from typing import Any, Final

_LONGEST_SEARCH: Final = 100
_short = Repr()
_short.maxstring = _short.maxother = 60


def find_unserializable(value: Any, can_take: Callable[[Any], bool], *, path: str = "") -> tuple[str, Any]:
    """The path to, and the innermost part of, a value that can't be written or copied. Asked only after that has failed.

    :param can_take: whether a part, by itself, can be.
    :param path: what leads to the value.
    """
    for _ in range(_LONGEST_SEARCH):
        found = next(((step, part) for step, part in _parts(value) if not can_take(part)), None)
        if found is None:
            break
        path, value = path + found[0], found[1]
    return path, value


def key_step(key: object) -> str:
    """The step from a dict to the value of a key."""
    return f"[{show(key)}]"


def attribute_step(name: str) -> str:
    """The step from an object to its attribute."""
    return f".{name}"


def show(value: object) -> str:
    """A short repr that never raises."""
    try:
        return _short.repr(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((key_step(key), part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    # A function or class keeps modules in its attributes, which say nothing about why it can't be written.
    elif not isinstance(value, type) and not callable(value):
        yield from ((attribute_step(name), part) for name, part in getattr(value, "__dict__", {}).items())
