"""The classes that a program allows in checkpoints besides the built-in ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from enum import Enum, Flag
from typing import Any, Final, TypeVar, overload

from spark.errors import DeserializationError, GraphDefinitionError
from spark.graphs.checkpoint.scalar_tags import SCALAR_WRITERS
from spark.graphs.loaded import class_name

T = TypeVar("T")

_BUILT_IN: Final = frozenset(
    {type(None), bool, int, float, str, list, tuple, set, frozenset, dict, object, type, *SCALAR_WRITERS}
)


@dataclass(frozen=True, slots=True)
class RegisteredType:
    """How instances of one class become something saveable, and are rebuilt from it."""

    cls: type
    name: str
    """What stored data calls it."""
    to_data: Callable[[Any], Any]
    from_data: Callable[[Any], Any]


_by_class: Final[dict[type, RegisteredType]] = {}
_by_name: Final[dict[str, RegisteredType]] = {}


@overload
def register_type(
    cls: type[T],
    /,
    *,
    name: str | None = ...,
    to_data: Callable[[T], Any] | None = ...,
    from_data: Callable[[Any], T] | None = ...,
) -> type[T]: ...
@overload
def register_type(
    *,
    name: str | None = ...,
    to_data: Callable[[Any], Any] | None = ...,
    from_data: Callable[[Any], Any] | None = ...,
) -> Callable[[type[T]], type[T]]: ...
def register_type(
    cls: type[Any] | None = None,
    /,
    *,
    name: str | None = None,
    to_data: Callable[[Any], Any] | None = None,
    from_data: Callable[[Any], Any] | None = None,
) -> Any:
    """Allow instances of a class in checkpoints; a decorator, or a function for a class from elsewhere.

    Dataclasses, enums and named tuples need nothing more. A dataclass is rebuilt field by field, without calling
    ``__init__``; an enum member is found by its name. Any other class needs ``to_data``, which returns something that
    can be saved, and ``from_data``, which gets that back. ``name`` is what stored data calls the class, by default its
    module and qualified name: give one, and the class can move.

    :raises GraphDefinitionError: the class can't be registered so, or another class has this name.
    """
    if cls is None:
        return lambda decorated: register_type(decorated, name=name, to_data=to_data, from_data=from_data)
    _check(cls, to_data, from_data)
    writes, reads = (to_data, from_data) if to_data and from_data else _known_shape(cls)
    _add(RegisteredType(cls=cls, name=name or class_name(cls), to_data=writes, from_data=reads))
    return cls


def registered_class(cls: type) -> RegisteredType | None:
    """How to save instances of exactly this class, if it was registered."""
    return _by_class.get(cls)


def registered_name(name: str) -> RegisteredType | None:
    """What stored data means by this name, if it is known here."""
    return _by_name.get(name) or _across_main(name)


def _across_main(name: str) -> RegisteredType | None:
    """A script's classes are named ``__main__`` when it is run and otherwise when it is imported."""
    module, _, qualname = name.partition(":")
    same = [kind for known, kind in _by_name.items() if known.partition(":")[2] == qualname != ""]
    if module != "__main__":
        same = [kind for kind in same if kind.name.startswith("__main__:")]
    return same[0] if len(same) == 1 else None


def _check(cls: object, to_data: object, from_data: object) -> None:
    if not isinstance(cls, type):
        raise GraphDefinitionError(f"register_type takes a class, not {cls!r}.")
    if cls in _BUILT_IN:
        raise GraphDefinitionError(f"{cls.__name__} is saved as it is; it can't be registered.")
    if (to_data is None) != (from_data is None):
        raise GraphDefinitionError(f"register_type({cls.__qualname__}) needs both to_data and from_data, or neither.")


def _known_shape(cls: type) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    if issubclass(cls, Flag):
        return (lambda member: member.value), cls
    if issubclass(cls, Enum):
        return (lambda member: member.name), (lambda name: cls.__members__[name])
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _named_tuple_data, (lambda fields: _named_tuple(cls, fields))
    if dataclasses.is_dataclass(cls) and cls.__new__ is object.__new__:
        return _dataclass_data, (lambda fields: _dataclass(cls, fields))
    raise GraphDefinitionError(
        f"{class_name(cls)} is no plain dataclass, enum or named tuple: "
        "register_type needs to know how to save it. Pass to_data= and from_data=."
    )


def _add(kind: RegisteredType) -> None:
    other = _by_name.get(kind.name)
    # The same class defined again, as in a notebook or after a reload, takes the place of its older self.
    if other is not None and class_name(other.cls) != class_name(kind.cls):
        raise GraphDefinitionError(
            f"{class_name(kind.cls)} can't be registered as {kind.name!r}: {class_name(other.cls)} already is. "
            "Give one of them another name=."
        )
    _by_name[kind.name] = _by_class[kind.cls] = kind


def _named_tuple_data(value: Any) -> dict[str, Any]:
    return dict(zip(value._fields, value, strict=True))


def _named_tuple(cls: Any, fields: dict[str, Any]) -> Any:
    known = {**cls._field_defaults, **fields}
    _check_names(cls, missing=set(cls._fields) - known.keys(), unknown=known.keys() - set(cls._fields))
    return tuple.__new__(cls, [known[name] for name in cls._fields])


def _dataclass_data(value: Any) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(value)]
    set_fields = {name: getattr(value, name) for name in names if hasattr(value, name)}
    # What __post_init__ and methods left on the instance belongs to it: without __init__ it would be missing.
    return {**set_fields, **getattr(value, "__dict__", {})}


def _dataclass(cls: Any, stored: dict[str, Any]) -> Any:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    value = object.__new__(cls)
    _check_names(
        cls,
        missing={
            name for name, field in fields.items() if name not in stored and field.init and not _has_default(field)
        },
        unknown=set() if hasattr(value, "__dict__") else stored.keys() - fields.keys(),
    )
    for name, field in fields.items():
        if name in stored or _has_default(field):
            object.__setattr__(value, name, stored[name] if name in stored else _default(field))
    # Not by __setattr__: these names come from storage, and must not reach a property or a slot of object.
    if extra := {name: stored[name] for name in stored if name not in fields}:
        vars(value).update(extra)
    return value


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _check_names(cls: type, *, missing: set[str], unknown: set[str]) -> None:
    if missing or unknown:
        raise DeserializationError(
            f"The class {class_name(cls)} has changed since the checkpoint was written: it has new fields without a "
            f"default {sorted(missing)}, and lacks {sorted(unknown)}. Give new fields a default, or register to_data "
            "and from_data."
        )
