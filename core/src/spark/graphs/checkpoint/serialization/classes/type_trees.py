"""Types with arguments, such as ``Page[User]`` ↔ plain tree: by the names of what they are made of.

Nothing that is stored is evaluated. A class that is not there yet is made as the source ``Page[User]`` would make it, out of
classes that are loaded; that is all of their code that runs. Only so many are made for one load.
"""

from __future__ import annotations

import sys
import typing
from functools import reduce
from operator import or_
from types import EllipsisType, GenericAlias, NoneType, UnionType
from typing import Any, Final, Generic, Literal, Union, get_args, get_origin
from weakref import WeakKeyDictionary

from spark.errors import DeserializationError
from spark.graphs.checkpoint.serialization.classes.type_names import Kind, TypeNames
from spark.graphs.checkpoint.serialization.unsaveable import Unsaveable, describe
from spark.graphs.values.loaded import class_name, is_kind_of, namespace

_MOST_MADE: Final = 1000
_OLD_NAMES: Final = {
    f"typing:{name}": getattr(typing, name)
    for name in (
        "List",
        "Dict",
        "Set",
        "FrozenSet",
        "Tuple",
        "Type",
        "Sequence",
        "Mapping",
        "Iterable",
        "Deque",
        "DefaultDict",
    )
}
"""``typing.List`` and its like: ``List[int]`` is another type than ``list[int]``."""
_SINGLE: Final[dict[str, Any]] = {"...": Ellipsis, class_name(NoneType): NoneType}
_LITERALS: Final = (str, int, bool, NoneType)
_CLASS: Final[Kind[type]] = Kind("a type", lambda cls: cls)

_written: Final[WeakKeyDictionary[type, Any]] = WeakKeyDictionary()


def is_parametrised(model: type) -> bool:
    """Whether a pydantic model's class is a generic one with arguments."""
    return bool(_metadata(model).get("origin"))


def write_class(model: type) -> Any:
    """The name of a pydantic model's class; of a generic one, the tree of its origin and arguments.

    :raises Unsaveable: an argument is not one that could be found again.
    """
    if not is_parametrised(model):
        return class_name(model)
    if model not in _written:
        tree = write_type(model)
        # Found by no name but this, so it must lead to this very class, not to one that looks like it.
        # Older releases of pydantic make the same class anew in each context, and so in each thread.
        made = read_type(TypeNames(), tree)
        if made is not model and _metadata(made) != _metadata(model):
            raise Unsaveable(f"its class {class_name(model)} can't be made again from {tree}.")
        _written[model] = tree
    return _written[model]


def write_type(kind: Any) -> Any:
    """The tree of a type.

    :raises Unsaveable: it is not one that could be found again.
    """
    if kind is None:
        return None
    if isinstance(kind, EllipsisType):
        return "..."
    if isinstance(kind, type) and not isinstance(kind, GenericAlias):
        if not is_parametrised(kind):
            return class_name(kind)
        metadata = _metadata(kind)
        return {"of": class_name(metadata["origin"]), "args": [write_type(item) for item in metadata["args"]]}
    origin, args = get_origin(kind), get_args(kind)
    if origin is Union and Union is not UnionType:
        return {"of": "typing:Union", "args": [write_type(item) for item in args]}
    if origin is UnionType:
        return {"union": [write_type(item) for item in args]}
    if origin is Literal and all(type(item) in _LITERALS for item in args):
        return {"literal": list(args)}
    if origin is None or origin is typing.Annotated or origin is Literal:
        raise Unsaveable(
            f"its class has the argument {kind!r}, which can't be found again by a name. Declare a class for it: "
            "class PageOfUsers(Page[…]): ..."
        )
    old_name = f"typing:{getattr(kind, '_name', None)}"
    return {
        "of": old_name if old_name in _OLD_NAMES else class_name(origin),
        "args": [write_type(item) for item in args],
    }


def read_type(names: TypeNames, tree: Any) -> Any:
    """The type that ``write_type`` was given.

    :raises DeserializationError: a class that it is made of is not loaded here.
    """
    if tree is None:
        return None
    if type(tree) is str:
        return _SINGLE[tree] if tree in _SINGLE else names.find(tree, _CLASS)
    if "union" in tree:
        return reduce(or_, (read_type(names, item) for item in tree["union"]))
    if "literal" in tree:
        return Literal[tuple(_literal(item) for item in tree["literal"])]
    key = repr(tree)
    if key not in names.cache:
        if len(names.cache) >= _MOST_MADE:
            raise DeserializationError(f"It names more than {_MOST_MADE} types with arguments.")
        names.cache[key] = _with_arguments(names, tree)
    return names.cache[key]


def _with_arguments(names: TypeNames, tree: dict[str, Any]) -> Any:
    args = tuple(read_type(names, item) for item in tree["args"])
    if tree["of"] == "typing:Union":
        return Union[args]  # noqa: UP007 - of what is only known now
    if tree["of"] in _OLD_NAMES:
        return _OLD_NAMES[tree["of"]][args]
    origin = names.find(tree["of"], _CLASS)
    model = getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
    try:
        if model is not None and is_kind_of(origin, model):
            return namespace(model)["__class_getitem__"].__get__(None, origin)(args)
        if is_kind_of(origin, Generic):
            return namespace(Generic)["__class_getitem__"].__get__(None, origin)(args)
        return GenericAlias(origin, args)
    except Exception as error:
        raise DeserializationError(
            f"{class_name(origin)} can't be made with the arguments {args}: {describe(error)}."
        ) from error


def _literal(value: Any) -> Any:
    if type(value) not in _LITERALS:
        raise TypeError(f"a literal was expected, not {type(value).__name__}")
    return value


def _metadata(model: type) -> dict[str, Any]:
    found = namespace(model).get("__pydantic_generic_metadata__")
    return found if type(found) is dict else {}
