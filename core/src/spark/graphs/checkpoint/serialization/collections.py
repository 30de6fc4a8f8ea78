"""The standard library's collections ↔ plain tree, exactly: order, length and factory are kept, subclasses are not taken."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, Final

from spark.graphs.checkpoint.serialization.classes.plain_classes import plain_shape
from spark.graphs.checkpoint.serialization.classes.pydantic_models import model_class
from spark.graphs.checkpoint.serialization.classes.registered_types import registered_class
from spark.graphs.checkpoint.serialization.classes.type_names import Kind
from spark.graphs.checkpoint.serialization.moments import MOMENT_WRITERS
from spark.graphs.checkpoint.serialization.protocols import Reader, Writer
from spark.graphs.checkpoint.serialization.scalars import SCALAR_WRITERS
from spark.graphs.checkpoint.serialization.unsaveable import Unsaveable
from spark.graphs.values.loaded import class_name
from spark.graphs.values.paths import show

_PLAIN: Final = (
    bool,
    int,
    float,
    str,
    list,
    tuple,
    set,
    frozenset,
    dict,
    Counter,
    OrderedDict,
    defaultdict,
    deque,
    object,
    bytes,
    bytearray,
)
_FACTORIES: Final[dict[str, type]] = {class_name(kind): kind for kind in (*_PLAIN, *SCALAR_WRITERS, *MOMENT_WRITERS)}


def _write_deque(writer: Writer, value: deque[Any], depth: int) -> Any:
    return {"$deque": [writer.write_items(value, depth + 2), value.maxlen]}


def _write_default_dict(writer: Writer, value: defaultdict[Any, Any], depth: int) -> Any:
    factory = value.default_factory
    if factory is not None and not (isinstance(factory, type) and _is_factory(factory)):
        raise Unsaveable(
            f"its default_factory {show(factory)} can't be found again by a name. Make it a class, such as list, convert "
            "the value with dict(…), or give the backend a serializer."
        )
    name = None if factory is None else class_name(factory)
    return {"$defaultdict": [writer.write_dict(value, depth + 2), name]}


def _writes_dict(tag: str) -> Callable[[Writer, Any, int], Any]:
    def write(writer: Writer, value: Any, depth: int) -> Any:
        if vars(value):
            raise Unsaveable(f"it carries {', '.join(vars(value))} besides its items. Keep them elsewhere.")
        return {tag: writer.write_dict(value, depth + 1)}

    return write


def _read_deque(reader: Reader, content: Any) -> deque[Any]:
    trees, longest = content
    items = reader.read_items(trees)
    if longest is not None and len(items) > longest:
        raise ValueError(f"it holds {len(items)} items, but its maxlen is {longest}")
    return deque(items, longest)


def _read_default_dict(reader: Reader, content: Any) -> defaultdict[Any, Any]:
    tree, name = content
    factory = None if name is None else builtin_factory(name) or reader.names.find(name, _FACTORY)
    return defaultdict(factory, reader.read_dict(tree))


def builtin_factory(name: Any) -> type | None:
    """The class with this name, if it is one of those that every program has."""
    return _FACTORIES.get(name)


def _read_counter(reader: Reader, content: Any) -> Counter[Any]:
    counter: Counter[Any] = Counter()
    dict.update(counter, reader.read_dict(content))  # Counter's own would add up, and takes numbers only
    return counter


def _is_factory(kind: type) -> bool:
    is_known = _FACTORIES.get(class_name(kind)) is kind
    return (
        is_known or plain_shape(kind) is not None or model_class(kind) is not None or registered_class(kind) is not None
    )


_FACTORY: Final[Kind[type]] = Kind("a default factory", lambda kind: kind if _is_factory(kind) else None)

COLLECTION_WRITERS: Final[dict[type, Callable[[Writer, Any, int], Any]]] = {
    deque: _write_deque,
    defaultdict: _write_default_dict,
    Counter: _writes_dict("$counter"),
    OrderedDict: _writes_dict("$ordereddict"),
}
"""Exact type → the function that makes its tag."""

COLLECTION_READERS: Final[dict[str, Callable[[Reader, Any], Any]]] = {
    "$deque": _read_deque,
    "$defaultdict": _read_default_dict,
    "$counter": _read_counter,
    "$ordereddict": lambda reader, content: OrderedDict(reader.read_dict(content)),
}
"""Tag → the function that turns its content back."""
