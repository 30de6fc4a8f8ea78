"""The classes that a program allows in checkpoints besides the built-in ones."""

from __future__ import annotations

from collections.abc import Callable
from enum import Flag
from typing import Any, Final, TypeVar, overload

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.serialization.buffers import BUFFER_TYPES
from spark.graphs.checkpoint.serialization.classes.plain_classes import EnumShape, plain_shape
from spark.graphs.checkpoint.serialization.classes.provided_types import known_class, provided_name
from spark.graphs.checkpoint.serialization.classes.type_names import renamed
from spark.graphs.checkpoint.serialization.classes.types import SavedType
from spark.graphs.checkpoint.serialization.moments import MOMENT_WRITERS
from spark.graphs.checkpoint.serialization.scalars import SCALAR_WRITERS
from spark.graphs.values.loaded import class_name
from spark.graphs.values.snapshots import add_copier

T = TypeVar("T")

_BUILT_IN: Final = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        str,
        list,
        tuple,
        set,
        frozenset,
        dict,
        object,
        type,
        *BUFFER_TYPES,
        *SCALAR_WRITERS,
        *MOMENT_WRITERS,
    }
)


_by_class: Final[dict[type, SavedType]] = {}
_by_name: Final[dict[str, SavedType]] = {}


@overload
def register_type(
    cls: type[T],
    /,
    *,
    name: str | None = ...,
    to_data: Callable[[T], Any] | None = ...,
    from_data: Callable[[Any], T] | None = ...,
    copy: Callable[[T], T] | None = ...,
) -> type[T]: ...
@overload
def register_type(
    *,
    name: str | None = ...,
    to_data: Callable[[Any], Any] | None = ...,
    from_data: Callable[[Any], Any] | None = ...,
    copy: Callable[[Any], Any] | None = ...,
) -> Callable[[type[T]], type[T]]: ...
def register_type(
    cls: type[Any] | None = None,
    /,
    *,
    name: str | None = None,
    to_data: Callable[[Any], Any] | None = None,
    from_data: Callable[[Any], Any] | None = None,
    copy: Callable[[Any], Any] | None = None,
) -> Any:
    """Allow instances of a class in checkpoints; a decorator, or a function for a class from elsewhere.

    Pydantic models, dataclasses, enums and named tuples need not be registered; it is done to give them a ``name``, or other
    data than their fields. Any other class needs ``to_data``, which returns something that can be saved, and ``from_data``,
    which gets that back. ``name`` is what stored data calls the class, by default its module and qualified name: give one,
    and the class can move. ``copy`` is used instead of ``copy.deepcopy`` where a value is set or read.

    :raises GraphDefinitionError: the class can't be registered so, or another class has this name.
    """
    if cls is None:
        return lambda decorated: register_type(decorated, name=name, to_data=to_data, from_data=from_data, copy=copy)
    _check(cls, to_data, from_data)
    writes, reads = (to_data, from_data) if to_data and from_data else _known_shape(cls)
    _add(SavedType(cls=cls, name=name or class_name(cls), to_data=writes, from_data=reads, copy=copy))
    return cls


def registered_class(cls: type) -> SavedType | None:
    """How to save instances of exactly this class, if the program registered it, or a plugin whose bundle is loaded."""
    return _by_class.get(cls) or known_class(cls)


def registered_name(name: str) -> SavedType | None:
    """What stored data means by this name: to this program, or else to an installed plugin.

    :raises DeserializationError: a plugin or a library is missing.
    """
    cls = renamed(name)
    if cls is not None:
        return _renamed(name, cls)
    return _by_name.get(name) or _across_main(name) or provided_name(name)


def _renamed(name: str, cls: type) -> SavedType:
    known = registered_class(cls)
    if known is None:  # it may be one of those that need not be registered any more
        writes, reads = _known_shape(cls)
        return SavedType(cls=cls, name=name, to_data=writes, from_data=reads)
    return known


def _across_main(name: str) -> SavedType | None:
    """A script's classes are named ``__main__`` when it is run and otherwise when it is imported."""
    module, _, qualname = name.partition(":")
    same = [kind for known, kind in _by_name.items() if known.partition(":")[2] == qualname != ""]
    if module != "__main__":
        same = [kind for kind in same if kind.name.startswith("__main__:")]
    return same[0] if len(same) == 1 else None


def _check(cls: object, to_data: object, from_data: object) -> None:
    if not isinstance(cls, type):
        raise GraphDefinitionError(f"register_type takes a class, not {cls!r}.")
    if cls in _BUILT_IN or class_name(cls) == "zoneinfo:ZoneInfo":  # which is not imported before it is used
        raise GraphDefinitionError(f"{cls.__name__} is saved as it is; it can't be registered.")
    if (to_data is None) != (from_data is None):
        raise GraphDefinitionError(f"register_type({cls.__qualname__}) needs both to_data and from_data, or neither.")


def _known_shape(cls: type) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    if issubclass(cls, Flag):
        return (lambda member: member.value), cls
    shape = plain_shape(cls)
    if isinstance(shape, EnumShape):
        return (lambda member: member.name), shape.member
    if shape is not None:
        return shape.data, shape.make
    raise GraphDefinitionError(
        f"{class_name(cls)} is not a plain dataclass, enum or named tuple: "
        "register_type needs to know how to save it. Pass to_data= and from_data=."
    )


def _add(kind: SavedType) -> None:
    other = _by_name.get(kind.name)
    # The same class defined again, as in a notebook or after a reload, takes the place of its older self.
    if other is not None and class_name(other.cls) != class_name(kind.cls):
        raise GraphDefinitionError(
            f"{class_name(kind.cls)} can't be registered as {kind.name!r}: {class_name(other.cls)} already is. "
            "Give one of them another name=."
        )
    _by_name[kind.name] = _by_class[kind.cls] = kind
    if kind.copy is not None:
        add_copier(kind.cls, kind.copy)
