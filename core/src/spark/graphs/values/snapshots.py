"""Value semantics: what is kept can't be changed from outside, and what is handed out can't change what is kept."""

from __future__ import annotations

import copy
import datetime
import decimal
import fractions
import pathlib
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from types import FunctionType, NoneType
from typing import Any, Final
from weakref import WeakSet

from spark.errors import SerializationError
from spark.graphs.values.item_list import ItemList
from spark.graphs.values.item_mapping import Captured, ItemMapping
from spark.graphs.values.overlays import ChangedItems, ExtendedItems
from spark.graphs.values.paths import find_unserializable

_MANY: Final = 100_000
"""So many parts are copied without asking whether they were met before; of more, because one is met over and over."""

_DEEP: Final = 60
"""Levels of lists and dicts with which a value can be saved in any case, whatever tags it takes."""
_DOUBTFUL: Final = 0

Check = Callable[[Any, str], None]
"""Raises a ``SerializationError`` where a value, which a path leads to, can't be saved."""
_Copied = Callable[[Any, type, Any], Any]
"""Makes the copy of a part, given its type and what is known so far."""

IMMUTABLE: Final[frozenset[type]] = frozenset(
    {
        NoneType,
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        datetime.date,
        datetime.timedelta,
        decimal.Decimal,
        fractions.Fraction,
        uuid.UUID,
        pathlib.PurePosixPath,
        pathlib.PosixPath,
    }
)


_asked: Final[WeakSet[type]] = WeakSet()
"""The classes of which a value was met."""


class _ManyError(Exception):
    """So much was copied that it has to be asked whether the same is copied again and again. Never seen by users."""


def snapshot(value: Any, *, path: str = "value", key: str | int | None = None, check: Check | None = None) -> Any:
    """A value that shares nothing mutable with the given one. Immutable values are shared, not copied.

    It takes time in proportion to what is there, however often one list or dict is referred to from within the value. Whether
    two references to one list still lead to one list in the copy is not promised: what is stored and loaded again has two.

    :param path: how an error names the value, for instance ``inputs``.
    :param key: of the value, where ``path`` names the mapping or list that it stands in: they are put together when there is an
        error.
    :param check: raises what ``path`` leads to if the value can't be saved. Not asked about flat values of plain types, which
        always can.
    :raises SerializationError: the value can't be copied, or can't be saved.
    """
    kind = type(value)
    if kind in IMMUTABLE:
        return value
    if check is not None and kind not in _COPIERS and kind not in _asked:
        _asked.add(kind)
        with suppress(SerializationError):  # reported below, if it can be copied
            check(
                value, _whole(path, key)
            )  # and so how instances of this class are copied is found out before it is done
    notes = [_MANY]
    try:
        copier = _COPIERS.get(kind)
        copied = copier(value, _copy, notes) if copier is not None else _copy(value, kind, notes)
    except (_ManyError, RecursionError):
        copied = _copy_thoroughly(value, _whole(path, key))
        notes.append(_DOUBTFUL)
    except Exception as error:
        raise _uncopyable(value, _whole(path, key), error) from error
    if check is not None and len(notes) > 1:
        known = len(_COPIERS)
        check(copied, _whole(path, key))
        if len(_COPIERS) != known:  # how to copy its type has only now been found out
            del copied  # it may be large
            return snapshot(value, path=path, key=key)
    return copied


def add_copier(kind: type, copier: Callable[[Any], Any]) -> None:
    """Copy instances of exactly this class so from now on, and no longer with ``copy.deepcopy``.

    :param copier: returns a value that shares nothing with the given one that could be changed.
    """

    def copy_part(value: Any, copied: _Copied, state: Any) -> Any:
        _doubt(value, state)
        return copier(value)

    _COPIERS[kind] = copy_part


def _whole(path: str, key: str | int | None) -> str:
    return path if key is None else f"{path}[{key!r}]"


def _copies(copy_below: _Copied) -> _Copied:
    """What copies the parts on one level of a value, each anew each time that it is met.

    Its notes are how many more copies may be made, and, if there is anything, that it may not be possible to save them.

    :param copy_below: for the next level.
    """

    def copied(value: Any, kind: type, notes: list[int]) -> Any:
        notes[0] -= 1
        if notes[0] < 0:
            raise _ManyError
        copier = _COPIERS.get(kind)
        if copier is None:
            notes.append(_DOUBTFUL)
            return copy.deepcopy(value)
        return copier(value, copy_below, notes)

    return copied


def _copy_deep(value: Any, kind: type, notes: list[int]) -> Any:
    """The same for all levels that may be too deep."""
    notes.append(_DOUBTFUL)
    return _copies(_copy_deep)(value, kind, notes)


def _copy_once(value: Any, kind: type, copies: dict[int, Any]) -> Any:
    """A copy, the same one each time that the value is met.

    :param copies: those made so far, by the id of the original.
    """
    if id(value) not in copies:
        copier = _COPIERS.get(kind)
        copies[id(value)] = copier(value, _copy_once, copies) if copier else copy.deepcopy(value)
    return copies[id(value)]


def _copy_thoroughly(value: Any, path: str) -> Any:
    try:
        return _copy_once(value, type(value), {})
    except RecursionError:
        return _deepcopy(value, path)  # it copies a value that contains itself
    except Exception as error:
        raise _uncopyable(value, path, error) from error


def _deepcopy(value: Any, path: str) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise _uncopyable(value, path, error) from error


def _uncopyable(value: Any, path: str, error: Exception) -> SerializationError:
    path, value = find_unserializable(value, _can_be_copied, path=path)
    return SerializationError(
        f"{path} holds a {type(value).__qualname__} that can't be copied ({error}). State and outputs are values: keep "
        "connections, locks and open files on the node itself, and put plain data here.",
        path=path,
    )


def _can_be_copied(value: Any) -> bool:
    try:
        _copy_once(value, type(value), {})
    except Exception:
        return False
    return True


# Loops instead of comprehensions, which cost a call each in Python 3.11.


def _copy_dict(value: dict[Any, Any], copied: _Copied, state: Any) -> dict[Any, Any]:
    items = value.copy()
    has_names = True
    for key, item in value.items():
        if type(key) is not str:
            has_names = False
            _doubt(key, state)
        kind = type(item)
        if kind not in IMMUTABLE:
            items[key] = copied(item, kind, state)
    if not has_names:
        _doubt_hashes(items, state)
    return items


def _copy_mapping(value: Mapping[Any, Any], copied: _Copied, state: Any) -> dict[Any, Any]:
    return _copy_dict(dict(value.items()), copied, state)


def _doubt(part: Any, state: Any) -> None:
    """Note that this part may not be possible to save."""
    if type(part) not in IMMUTABLE and type(state) is list:
        state.append(_DOUBTFUL)


def _doubt_hashes(keys: Collection[Any], state: Any) -> None:
    """Note that it may not be possible to save these, because some have the same hash."""
    if type(state) is list and len({hash(key) for key in keys}) < len(keys):
        state.append(_DOUBTFUL)


def _copy_list(value: Iterable[Any], copied: _Copied, state: Any) -> list[Any]:
    items = []
    for item in value:
        kind = type(item)
        items.append(item if kind in IMMUTABLE else copied(item, kind, state))
    return items


def _copy_tuple(value: tuple[Any, ...], copied: _Copied, state: Any) -> tuple[Any, ...]:
    items = tuple(_copy_list(value, copied, state))
    return value if all(map(_is, items, value)) else items


def _copy_set(value: set[Any], copied: _Copied, state: Any) -> set[Any]:
    items = set(_copy_list(value, copied, state))
    _doubt_hashes(items, state)
    return items


def _copy_frozenset(value: frozenset[Any], copied: _Copied, state: Any) -> frozenset[Any]:
    items = frozenset(_copy_list(value, copied, state))
    _doubt_hashes(items, state)
    return items


def _copy_bytearray(value: bytearray, copied: _Copied, state: Any) -> bytearray:
    return bytearray(value)


def _is(left: object, right: object) -> bool:
    return left is right


def _share(value: Any, copied: _Copied, state: Any) -> Any:
    """Can't be changed, nor be saved by most formats."""
    _doubt(value, state)
    return value


def _share_moment(value: Any, copied: _Copied, state: Any) -> Any:
    if value.tzinfo is not None and type(value.tzinfo) is not datetime.timezone:
        _doubt(value.tzinfo, state)
    return value


_COPIERS: Final[dict[type, Callable[[Any, _Copied, Any], Any]]] = {
    dict: _copy_dict,
    list: _copy_list,
    ItemList: _copy_list,
    ExtendedItems: _copy_list,
    ItemMapping: _copy_mapping,
    Captured: _copy_mapping,
    ChangedItems: _copy_mapping,
    tuple: _copy_tuple,
    set: _copy_set,
    frozenset: _copy_frozenset,
    range: _share,
    type: _share,
    FunctionType: _share,
    datetime.datetime: _share_moment,
    datetime.time: _share_moment,
    bytearray: _copy_bytearray,
}

_copy: _Copied = _copy_deep
for _ in range(_DEEP):
    _copy = _copies(_copy)
