"""Objects → plain tree: the values that formats can write, and tags for all others.

A tag is a dict with one key, which starts with ``$``: ``{"$tuple": [1, 2]}``. A user's dict that looks like one is
written as ``{"$dict": [[key, value], …]}``, so no dict of a user is ever mistaken for a tag.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import tzinfo
from typing import Any, Final, NoReturn

from spark.errors import SerializationError
from spark.graphs.checkpoint.records.limits import DEFAULT_LIMITS, collides
from spark.graphs.checkpoint.serialization.buffers import BUFFER_TYPES, KeepBuffer, write_buffer
from spark.graphs.checkpoint.serialization.classes.plain_classes import plain_shape
from spark.graphs.checkpoint.serialization.classes.provided_types import provided_class
from spark.graphs.checkpoint.serialization.classes.pydantic_models import is_model, write_model
from spark.graphs.checkpoint.serialization.classes.registered_types import registered_class
from spark.graphs.checkpoint.serialization.classes.types import SavedType
from spark.graphs.checkpoint.serialization.collections import COLLECTION_WRITERS
from spark.graphs.checkpoint.serialization.cost import is_endless
from spark.graphs.checkpoint.serialization.moments import MOMENT_WRITERS, write_zone
from spark.graphs.checkpoint.serialization.scalars import SCALAR_WRITERS, write_float, write_int, write_text
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, is_hook
from spark.graphs.checkpoint.serialization.unsaveable import Unsaveable, describe
from spark.graphs.values.containers import PlainDict, ordinary
from spark.graphs.values.item_list import ItemList
from spark.graphs.values.item_mapping import Captured, ItemMapping
from spark.graphs.values.loaded import class_name
from spark.graphs.values.paths import attribute_step, key_step, show

MAX_DEPTH: Final = 190
"""The levels of lists and dicts that one value's tree may have.

pydantic's JSON reader takes 201; a scalar's tag and the codec's sections need the rest. So what was written loads.
"""

_UNASKED: Final = 200_000
"""So many lists and dicts of one value are written without asking whether they would ever end."""
_FEW: Final = 16
"""So many values are written without asking what that costs,"""
_SHORT: Final = 256
"""and texts of so many characters."""
_ENDLESS: Final = (
    "it refers to the same lists or dicts again and again, and each would be written that many times. Store such a part once, "
    "under a key of its own, and refer to it by that key."
)
_SMALLEST, _LARGEST = -(2**63) + 1, 2**63 - 1
_TRIVIAL: Final = frozenset({bool, type(None)})
_SCALARS: Final = SCALAR_WRITERS | MOMENT_WRITERS
_CONTAINER_TAGS: Final[dict[type, str]] = {tuple: "$tuple", set: "$set", frozenset: "$frozenset"}


class TreeWriter:
    """Turns objects into plain trees.

    :param takes_bytes: there may be bytes in them.
    :param keep: what keeps large buffers, which are not in the trees then.
    """

    def __init__(
        self,
        serializer: CheckpointSerializer | None = None,
        *,
        most_equal_hashes: int = DEFAULT_LIMITS.max_equal_hashes,
        unasked: int = _UNASKED,
        takes_bytes: bool = False,
        keep: KeepBuffer | None = None,
    ) -> None:
        self._takes_bytes = takes_bytes
        self._keep = keep
        self._serializer = serializer
        self._most_equal_hashes = most_equal_hashes
        self._unasked = unasked
        self._left = unasked
        """So many levels may still be entered. Threads that share this writer may miscount a little."""
        self._serialize = serializer.serialize if serializer and is_hook(serializer) else None
        self.has_hook = self._serialize is not None
        """A serializer is asked about every value."""

    def tree(self, value: Any, path: str = "", *, depth: int = 0) -> Any:
        """The plain tree of a value, which ``path`` leads to.

        :param depth: how many levels it will stand below.
        :raises SerializationError: something in it can't be saved; the error has the path to it.
        """
        kind = type(value)
        if self._serialize is None and (
            kind in _TRIVIAL or (kind is str and value.isascii()) or (kind is int and _SMALLEST <= value <= _LARGEST)
        ):
            return value
        return self._report(TreeWriter.write, value, path, depth)

    def mapping(self, values: Mapping[str, Any], path: str = "") -> Any:
        """The plain tree of a mapping whose values, but not itself and its keys, are offered to the serializer."""
        if type(values) is PlainDict and self._serialize is None:
            return dict(values)
        return self._report(TreeWriter.write_mapping, values, path)

    def write(self, value: Any, depth: int) -> Any:
        """The plain tree of a value that stands below ``depth`` levels.

        :raises Unsaveable: something in it can't be saved.
        """
        if self._serialize is not None:
            value = self._replaced(ordinary(value))
        kind = type(value)
        if kind is str:
            return value if value.isascii() else write_text(value)
        if kind is int:
            return value if _SMALLEST <= value <= _LARGEST else write_int(value)
        if kind is float:
            return write_float(value)
        if value is None or kind is bool:
            return value
        if kind is dict:
            return self.write_mapping(value, depth) if self._serialize is None else self.write_dict(value, depth)
        if kind is list:
            return self.write_items(value, depth)
        if kind is PlainDict:
            return dict(value)
        if kind is ItemList:
            return self.write_items(value, depth)
        if kind is Captured or kind is ItemMapping:
            return self.write_mapping(value.whole(), depth)
        return self._write_tagged(value, kind, depth)

    def _write_tagged(self, value: Any, kind: type, depth: int) -> Any:
        if tag := _CONTAINER_TAGS.get(kind):
            if kind is not tuple:
                self._check_keys(value)
            return {tag: self.write_items(value, depth + 1)}
        if scalar := _SCALARS.get(kind):
            return scalar(value)
        if kind in BUFFER_TYPES:
            return write_buffer(value, keep=self._keep, takes_bytes=self._takes_bytes)
        if registered := registered_class(kind):
            return self._write_registered(value, registered, depth)
        if is_model(value):
            return write_model(self, value, depth)
        return self._write_unregistered(value, kind, depth)

    def _write_unregistered(self, value: Any, kind: type, depth: int) -> Any:
        try:
            if write := COLLECTION_WRITERS.get(kind):
                return write(self, value, depth)
            if shape := plain_shape(kind):
                return shape.write(self, value, depth)
            if isinstance(value, tzinfo):
                return write_zone(value)
            if provided := provided_class(kind):
                return self._write_registered(value, provided, depth)
        except Unsaveable as problem:
            if problem.too_deep:
                problem.trail.append((value, ""))  # it may be what contains itself
            raise
        raise Unsaveable(_why_not(kind), value=value)

    def write_items(self, items: Iterable[Any], depth: int) -> list[Any]:
        """The trees of items, in their order."""
        self._left -= 1
        if depth >= MAX_DEPTH or self._left < 0:
            self._stop(depth)
        below = depth + 1
        write = self.write
        is_hooked = self._serialize is not None
        trees: list[Any] = []
        append = trees.append
        try:
            for item in items:  # how many there are is the index when one fails
                kind = type(item)
                if is_hooked:
                    append(write(item, below))
                elif kind in _TRIVIAL or (kind is str and item.isascii()):
                    append(item)
                elif kind is dict:
                    append(self.write_mapping(item, below))
                else:
                    append(write(item, below))
        except Unsaveable as problem:
            problem.trail.append((items, "{item}" if isinstance(items, set | frozenset) else f"[{len(trees)}]"))
            raise
        return trees

    def write_dict(self, value: dict[Any, Any], depth: int) -> Any:
        """The tree of a dict whose keys are offered to the serializer too."""
        if self._serialize is None:
            return self.write_mapping(value, depth)
        if are_names(value) and self._keeps_keys(value):
            return self.write_named(value, depth)
        return {"$dict": self._write_pairs(value, depth + 1, key_writer=self.write)}

    def write_mapping(self, values: Mapping[Any, Any], depth: int) -> Any:
        """The tree of a mapping whose keys are not offered to the serializer."""
        return self._write_members(values, depth, key_step, are_names=False)

    def write_named(
        self, values: Mapping[str, Any], depth: int, *, step: Callable[[str], str] = key_step
    ) -> dict[str, Any]:
        """The trees of values by their names, which are written as they are."""
        tree: dict[str, Any] = self._write_members(values, depth, step, are_names=True)
        return tree

    def _write_members(
        self, values: Mapping[Any, Any], depth: int, step: Callable[[str], str], *, are_names: bool
    ) -> Any:
        """The trees of values by their keys; in pairs unless these are names.

        :param are_names: that is known.
        """
        self._left -= 1
        if depth >= MAX_DEPTH or self._left < 0:
            self._stop(depth)
        below = depth + 1
        is_hooked = self._serialize is not None
        tree = {}
        name: Any = ""
        try:
            for name, value in values.items():
                if not are_names and (type(name) is not str or not (name.isascii() or _is_text(name))):
                    break
                kind = type(value)  # what is most frequent goes without a call, which would cost the most
                if is_hooked:
                    tree[name] = self.write(value, below)
                elif (
                    kind in _TRIVIAL
                    or (kind is str and value.isascii())
                    or (kind is int and _SMALLEST <= value <= _LARGEST)
                ):
                    tree[name] = value
                elif kind is dict:
                    tree[name] = self._write_members(value, below, key_step, are_names=False)
                elif kind is PlainDict:
                    tree[name] = dict(value)
                else:
                    tree[name] = self.write(value, below)
            else:
                if are_names or len(tree) != 1 or not name.startswith("$"):
                    return tree
        except Unsaveable as problem:
            problem.trail.append((values, step(name)))
            raise
        return {"$dict": self._write_pairs(values, depth + 1, key_writer=self.without_hook().write)}

    def _write_pairs(
        self, values: Mapping[Any, Any], depth: int, *, key_writer: Callable[[Any, int], Any]
    ) -> list[list[Any]]:
        self._check_keys(values)
        below = depth + 2
        self._left -= 2
        if depth + 1 >= MAX_DEPTH or self._left < 0:
            self._stop(depth + 1)
        pairs = []
        step = ""
        try:
            for key, value in values.items():
                step = f"{{key {show(key)}}}"
                key_tree = key_writer(key, below)
                step = key_step(key)
                pairs.append([key_tree, self.write(value, below)])
        except Unsaveable as problem:
            problem.trail.append((values, step))
            raise
        return pairs

    def _write_registered(self, value: Any, registered: SavedType, depth: int) -> Any:
        below = depth + 2
        self._left -= 2
        if depth + 1 >= MAX_DEPTH or self._left < 0:
            self._stop(depth + 1)
        try:
            data = self._data_of(value, registered)
            if type(data) is dict and are_names(data):
                return {"$type": [registered.name, self.write_named(data, below, step=attribute_step)]}
            return {"$type": [registered.name, self.write(data, below)]}
        except Unsaveable as problem:
            problem.trail.append((value, ""))
            raise

    def _data_of(self, value: Any, registered: SavedType) -> Any:
        try:
            return registered.to_data(value)
        except SerializationError as refusal:  # the reason, without a path
            raise Unsaveable(str(refusal)) from refusal.__cause__
        except Exception as error:
            raise Unsaveable(f"to_data of {registered.name} raised {describe(error)}.") from error

    def _keeps_keys(self, value: dict[str, Any]) -> bool:
        return self._serialize is None or all(self._replaced(key) is key for key in value)

    def _replaced(self, value: Any) -> Any:
        assert self._serialize is not None
        try:
            return self._serialize(value)
        except Exception as error:
            raise Unsaveable(f"serialize() of the serializer raised {describe(error)}.") from error

    def _stop(self, depth: int) -> NoReturn:
        if depth >= MAX_DEPTH:
            raise Unsaveable(
                f"it is nested deeper than {MAX_DEPTH} levels, more than can be read back. Store it flatter.",
                too_deep=True,
            )
        raise _ManyError

    def without_hook(self) -> TreeWriter:
        """One that does not ask the serializer."""
        return self if self._serialize is None else self._like_this(serializer=None)

    def keeping(self, keep: KeepBuffer) -> TreeWriter:
        """One like this that has large buffers kept out of the trees."""
        return self._like_this(keep=keep)

    def _like_this(self, **changed: Any) -> TreeWriter:
        settings: dict[str, Any] = {
            "serializer": self._serializer,
            "most_equal_hashes": self._most_equal_hashes,
            "takes_bytes": self._takes_bytes,
            "keep": self._keep,
        }
        return TreeWriter(**(settings | changed))

    def _check_keys(self, keys: Collection[Any]) -> None:
        most = self._most_equal_hashes
        if collides(keys, most):
            raise Unsaveable(
                f"more than {most} of its {len(keys)} keys have the same hash, and would be refused when they are read back. "
                "Give their class a better __hash__, or store a list."
            )

    def _report(self, write: Callable[[TreeWriter, Any, int], Any], value: Any, path: str, depth: int = 0) -> Any:
        self._left = self._unasked
        try:
            return write(self, value, depth)
        except _ManyError:
            if is_endless(value):
                raise Unsaveable(_ENDLESS).to_error(path) from None
            return self._like_this(unasked=sys.maxsize)._report(write, value, path, depth)
        except Unsaveable as problem:
            raise problem.to_error(path) from problem.__cause__
        except RecursionError as error:
            reason = "Python's stack was nearly used up before the work began; save from a less deeply nested call."
            raise Unsaveable(reason).to_error(path) from error


class _ManyError(Exception):
    """So much was written that it has to be asked whether it would ever end. Never seen by users."""


def small_tree(values: Mapping[Any, Any], *, levels: int = 2) -> dict[str, Any] | None:
    """The tree of a mapping of a few small plain values, without asking anything twice; None where it is none.

    :param levels: how many there may be below it.
    """
    if len(values) > _FEW:
        return None
    tree: dict[str, Any] = {}
    name: Any = ""
    for name, value in values.items():
        if type(name) is not str or not name.isascii():
            return None
        kind = type(value)
        if (
            kind in _TRIVIAL
            or (kind is int and _SMALLEST <= value <= _LARGEST)
            or (kind is str and len(value) <= _SHORT and value.isascii())
        ):
            tree[name] = value
        elif kind is PlainDict:
            tree[name] = dict(value)
        elif kind is dict and levels and (below := small_tree(value, levels=levels - 1)) is not None:
            tree[name] = below
        else:
            return None
    return None if len(tree) == 1 and name.startswith("$") else tree


def are_names(keys: Mapping[Any, Any]) -> bool:
    """Whether the keys of a mapping can be the keys of a plain object that is no tag."""
    for key in keys:
        if type(key) is not str or not (key.isascii() or _is_text(key)):
            return False
    return len(keys) != 1 or not next(iter(keys)).startswith("$")


def _is_text(value: str) -> bool:
    return type(write_text(value)) is str


def _why_not(kind: type) -> str:
    name = class_name(kind)
    known = (bool, int, float, str, bytes, list, dict, *_CONTAINER_TAGS)
    base = next((base for base in kind.__mro__[1:] if base in known), None)
    if base is None:
        return (
            f"its type {name} is not supported. Convert it to plain values, register the type with "
            "register_type, or give the backend a serializer."
        )
    return (
        f"its type {name} is a subclass of {base.__name__}, and would come back as a plain {base.__name__}. Convert it with "
        f"{base.__name__}(…), register the type with register_type, or give the backend a serializer."
    )
