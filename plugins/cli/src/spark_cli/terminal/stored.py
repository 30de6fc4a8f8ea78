"""Objects of which only the stored data was read: shown as a tree, with their types; and how to have them made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from spark_cli.terminal.output import is_raw
from spark_cli.terminal.showing import counted, summary

if TYPE_CHECKING:
    from spark.graphs.checkpoint import RawObject

_MOST_PARTS: Final = 20
_DEEPEST: Final = 5
_MOST_TYPES: Final = 3
_MOST_VALUES: Final = 100_000
"""Values of a checkpoint that are looked at for their types."""


def tree(name: object, value: Any, *, depth: int = 0) -> Iterator[str]:
    """Lines that show a value under its name: of an object its type, and its fields below that; of others a summary.

    Lists and mappings of objects are shown item by item.
    """
    indent, parts = "    " * depth, _parts(value)
    if not parts or depth >= _DEEPEST:
        yield f"{indent}{name}: {summary(value)}"
        return
    yield f"{indent}{name}: {value.type if is_raw(value) else counted(len(parts), 'item')}"
    for key, inner in parts[:_MOST_PARTS]:
        yield from tree(key, inner, depth=depth + 1)
    if len(parts) > _MOST_PARTS:
        yield f"{indent}    … {len(parts) - _MOST_PARTS:,} more"


def _parts(value: Any) -> list[tuple[object, Any]]:
    """What stands below a value, by name or position; nothing for what is shown in one line."""
    if is_raw(value):
        return [*value.value.items()] if isinstance(value.value, dict) else []
    found: list[tuple[object, Any]] = []
    if isinstance(value, dict):
        found = [*value.items()]
    elif isinstance(value, list | tuple):
        found = [*enumerate(value)]
    return found if any(is_raw(inner) for _, inner in found[:_MOST_PARTS]) else []


def how_to_make(*values: Any) -> str | None:
    """What to do to have objects of these values made and checked, if there are any of the program's own types."""
    types = sorted({each.type for each in _objects_in(values) if _is_of_the_program(each.type)})
    if not types:
        return None
    shown = ", ".join(types[:_MOST_TYPES]) + (
        f" and {len(types) - _MOST_TYPES} more" if len(types) > _MOST_TYPES else ""
    )
    modules = dict.fromkeys(each.partition(":")[0] for each in types if ":" in each)
    options = " ".join(f"--import {module}" for module in modules if module != "__main__") or "--import MODULE"
    return f"shown as it is stored, without its types: {shown}. To have the objects made and checked: {options}"


def _objects_in(values: Any) -> Iterator[RawObject]:
    """Every object within, as far as so many values go."""
    left, looked_at = [*values], 0
    while left and looked_at < _MOST_VALUES:
        value, looked_at = left.pop(), looked_at + 1
        if is_raw(value):
            yield value
            left.append(value.value)
        elif isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            left += value


def _is_of_the_program(type: str) -> bool:
    """Whether it is not of a library whose types a plugin saves, of the standard library, or a mark of damage."""
    from spark.hooks import extras

    module, colon, _ = type.partition(":")
    top = module.partition(".")[0]
    known = top in sys.stdlib_module_names - {"__main__"} or ("types of module", top) in extras()
    return bool(colon) and not known
