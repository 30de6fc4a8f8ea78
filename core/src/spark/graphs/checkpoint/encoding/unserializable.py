"""Where in a value the part stands that a format can't write; asked only after writing has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from spark.graphs.checkpoint.serialization.unsaveable import attribute_step, key_step

_LONGEST_SEARCH: Final = 100


def find_unserializable(value: Any, can_write: Callable[[Any], bool]) -> tuple[str, Any]:
    """The path to, and the innermost part of, a value that can't be written."""
    path = ""
    for _ in range(_LONGEST_SEARCH):
        found = next(((step, part) for step, part in _parts(value) if not can_write(part)), None)
        if found is None:
            break
        path, value = path + found[0], found[1]
    return path, value


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((key_step(key), part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    # A function or class keeps modules in its attributes, which say nothing about why it can't be written.
    elif not isinstance(value, type) and not callable(value):
        yield from ((attribute_step(name), part) for name, part in getattr(value, "__dict__", {}).items())
