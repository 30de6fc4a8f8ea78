"""What stored data calls a class, and which class of this program that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from spark.errors import DeserializationError, GraphDefinitionError
from spark.graphs.values.loaded import by_qualname, chosen, class_name, held_by_module, subclasses

T = TypeVar("T")

_renamed: Final[dict[str, type]] = {}


class Kind(Generic[T]):
    """What a class has to be for a tag to stand for instances of it.

    :param label: what messages call it, with its article.
    :param shape: what it takes to rebuild instances of a class; None for a class of another kind.
    """

    __slots__ = ("label", "shape")

    def __init__(self, label: str, shape: Callable[[type], T | None]) -> None:
        self.label: Final = label
        self.shape: Final = shape


def rename_type(old: str, new: type) -> None:
    """Load stored instances of a class that was moved or renamed as instances of its new class.

    It applies to models and the arguments of generic ones, dataclasses, enums, named tuples and registered types. Call it
    before anything is loaded, each time that the program starts. You may repeat the same call.

    :param old: the name of the class in stored data: ``"module:qualname"``, or the ``name`` that it was registered with.
    :param new: the present class.
    :raises GraphDefinitionError: ``old`` is not a name, was given to another class, or names one that still exists.
    """
    if not isinstance(old, str) or not all(part.strip() for part in old.split(":")) or old.count(":") > 1:
        raise GraphDefinitionError(
            f'rename_type takes the name that is stored, such as "package.module:Class", not {old!r}.'
        )
    if not isinstance(new, type):
        raise GraphDefinitionError(f"rename_type({old!r}, …) takes its present class, not {new!r}.")
    other = _renamed.get(old) or _still_there(old)
    # The same class defined again, as in a notebook or after a reload, takes the place of its older self.
    if other is not None and class_name(other) != class_name(new):
        raise GraphDefinitionError(
            f"{old!r} can't be renamed to {class_name(new)}: it is the name of {class_name(other)}, and what was stored can "
            "only be one of the two."
        )
    _renamed[old] = new


def renamed(name: str) -> type | None:
    """The class that ``rename_type`` says a name stands for."""
    return _renamed.get(name)


def _still_there(old: str) -> type | None:
    module, _, qualname = old.partition(":")
    return held_by_module(module, qualname)


class TypeNames:
    """Finds the classes that one load names: each once, and looks through all that are loaded at most once."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[str, str], Any] = {}
        self._loaded: dict[str, list[type]] | None = None
        self.cache: dict[str, Any] = {}
        """Of whoever makes more of a name than a class."""

    def find(self, name: Any, kind: Kind[T]) -> T:
        """What it takes to rebuild instances of the class that stored data calls by this name.

        :raises DeserializationError: no loaded class has this name, or the one that has it is of another kind.
        """
        key = (kind.label, name)
        if key not in self._shapes:
            self._shapes[key] = self._look(name, kind)
        found: T = self._shapes[key]
        return found

    def _look(self, name: Any, kind: Kind[T]) -> T:
        if type(name) is not str:
            raise TypeError(f"a class's name was expected, not a {type(name).__name__}")
        module, _, qualname = name.partition(":")
        cls = renamed(name)
        if cls is not None:
            shape = kind.shape(cls)
            if shape is None:
                raise DeserializationError(
                    f"{name!r} was stored as {kind.label}, but rename_type() names {class_name(cls)}, which is not. Rename it to "
                    "one that is."
                )
            return shape
        held = held_by_module(module, qualname)
        if held is not None and (shape := kind.shape(held)) is not None:
            return shape
        shapes = {id(cls): shape for cls in self._named(qualname) if (shape := kind.shape(cls)) is not None}
        cls = chosen([cls for cls in self._named(qualname) if id(cls) in shapes], module)
        if cls is not None and "[" in qualname and len(shapes) > 1:
            raise DeserializationError(
                f"{name!r} was stored without the modules of its arguments, and {len(shapes)} loaded classes have this name. "
                "Load it in a program that has only the one that is meant."
            )
        if cls is not None:
            return shapes[id(cls)]
        raise DeserializationError(_not_found(name, kind, held))

    def _named(self, qualname: str) -> list[type]:
        if self._loaded is None:
            self._loaded = by_qualname(subclasses(object))
        return self._loaded.get(qualname, [])


def _not_found(name: str, kind: Kind[Any], held: type | None) -> str:
    module = name.partition(":")[0]
    cure = f"If it was moved or renamed, call rename_type({name!r}, …) with its present class."
    if held is not None:
        return f"{name!r} was stored as {kind.label}, but the class of this name is not, or can't be rebuilt. {cure}"
    return f"{name!r}, {kind.label}, is not loaded in this program. Import {module!r} before loading. {cure}"
