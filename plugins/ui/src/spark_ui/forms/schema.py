"""A JSON schema as stored with a question: references followed, optional values unwrapped, and whether a value fits it.

The schema comes from a store, so whatever is in there, nothing here fails or takes long. What this does not know it lets
pass: the node that asked has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any, Final, TypeAlias

Schema: TypeAlias = Mapping[str, Any]
DEEPEST: Final = 6
"""Levels of a schema that become fields of their own."""
MOST: Final = 100
"""Fields, choices or variants at one level."""
_MOST_CHECKED: Final = 20_000
"""Values that are compared with a schema; of more, the node that asked has the last word."""
_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "string": ((str,), "a text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "yes or no"),
    "array": ((list,), "a list"),
    "object": ((dict,), "an object"),
    "null": ((type(None),), "null"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One value that a schema asks for."""

    schema: Schema
    """Without references."""
    may_be_null: bool = False
    variants: tuple[Schema, ...] = ()
    """Where it may be one of several."""

    @property
    def type(self) -> str:
        """``"string"``, ``"integer"``…; empty where the schema does not say."""
        kind = self.schema.get("type")
        return kind if isinstance(kind, str) else "object" if "properties" in self.schema else ""

    @property
    def choices(self) -> Sequence[Any] | None:
        """All values that it may have; None where it is not one of a few."""
        found = [self.schema["const"]] if "const" in self.schema else self.schema.get("enum")
        return found if isinstance(found, list) and 0 < len(found) <= MOST else None


def wanted(schema: Any, root: Schema) -> Wanted:
    """What a schema asks for.

    :param root: what its references lead into.
    """
    found = _followed(schema, root)
    kinds = found.get("type")
    several = found.get("anyOf") or found.get("oneOf")
    if isinstance(kinds, list):
        several = [{**found, "type": kind} for kind in kinds]
    if not isinstance(several, list):
        return Wanted(found)
    followed = [_followed(each, root) for each in several[:MOST]]
    others = tuple(each for each in followed if each.get("type") != "null")
    may_be_null = len(others) < len(followed)
    if len(others) == 1:
        about = {name: found[name] for name in ("title", "description", "default") if name in found}
        return Wanted({**others[0], **about}, may_be_null)
    return Wanted(found, may_be_null, others)


def problems(value: Any, schema: Any, root: Schema) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where a value does not fit a schema, and why; nothing where it does, or where nobody can tell."""
    return _Check(root).problems(value, schema)


class _Check:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = _MOST_CHECKED

    def problems(
        self, value: Any, schema: Any, path: tuple[str, ...] = (), level: int = 0
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        self._left -= 1
        want = wanted(schema, self._root)
        is_too_much = self._left < 0 or max(level - len(path), len(path)) > DEEPEST  # variants may lead to themselves
        if is_too_much or (value is None and want.may_be_null):
            return
        if want.variants:
            if all(any(True for _ in self.problems(value, each, path, level + 1)) for each in want.variants):
                yield path, "This fits none of what is possible here."
            return
        if want.choices is not None:
            if not any(type(value) is type(each) and value == each for each in want.choices):
                yield path, "Choose one of the values."
            return
        types, words = _TYPES.get(want.type, ((object,), ""))
        if not isinstance(value, types) or (isinstance(value, bool) and want.type in ("integer", "number")):
            yield path, f"Give {words}."
            return
        wrong = _out_of_bounds(value, want.schema)
        if wrong:
            yield path, wrong
        yield from self._inside(value, want.schema, path, level + 1)

    def _inside(
        self, value: Any, schema: Schema, path: tuple[str, ...], level: int
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        if isinstance(value, dict):
            for name in _texts(schema.get("required")):
                if name not in value:
                    yield (*path, name), "This is needed."
            for name, inner in properties(schema).items():
                if name in value:
                    yield from self.problems(value[name], inner, (*path, name), level)
        elif isinstance(value, list):
            places = _list(schema.get("prefixItems"))
            for place, item in enumerate(value):
                inner = places[place] if place < len(places) else schema.get("items", {})
                yield from self.problems(item, inner, (*path, str(place)), level)


def properties(schema: Schema) -> Mapping[str, Any]:
    """The properties of an object."""
    found = schema.get("properties")
    return {str(name): inner for name, inner in found.items()} if isinstance(found, Mapping) else {}


def is_required(name: str, schema: Schema) -> bool:
    """Whether an object must have this property."""
    return name in _texts(schema.get("required"))


def _out_of_bounds(value: Any, schema: Schema) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str | list):
        return ""
    if isinstance(value, int | float):
        size, noun, lowest, highest = value, "", "minimum", "maximum"
    else:
        noun, name = (" characters", "Length") if isinstance(value, str) else (" items", "Items")
        size, lowest, highest = len(value), f"min{name}", f"max{name}"
    limits: tuple[tuple[str, Callable[[Any, Any], bool], str], ...] = (
        (lowest, lt, "Give at least"),
        (highest, gt, "Give at most"),
        ("exclusiveMinimum", le, "Give more than"),
        ("exclusiveMaximum", ge, "Give less than"),
    )
    for name, is_wrong, words in limits:
        limit = schema.get(name)
        if isinstance(limit, int | float) and is_wrong(size, limit):
            return f"{words} {limit}{noun.removesuffix('s') if limit == 1 else noun}."
    return ""


def _followed(schema: Any, root: Schema) -> Schema:
    found = schema if isinstance(schema, Mapping) else {}
    for _ in range(DEEPEST):
        together = found.get("allOf")
        if isinstance(together, list) and len(together) == 1 and isinstance(together[0], Mapping):
            found = {**together[0], **{name: each for name, each in found.items() if name != "allOf"}}
        reference = found.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return found
        found = {**_at(reference, root), **{name: each for name, each in found.items() if name != "$ref"}}
    return {}  # it leads to itself


def _at(reference: str, root: Any) -> Schema:
    for step in reference.removeprefix("#").split("/")[1:]:
        root = root.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(root, Mapping) else None
    return root if isinstance(root, Mapping) else {}


def _texts(found: Any) -> list[str]:
    return [each for each in _list(found) if isinstance(each, str)]


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []
