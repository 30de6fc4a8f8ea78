"""Value semantics: what is kept can't be changed from outside, and what is handed out can't change what is kept."""

from __future__ import annotations

import copy
import datetime
import decimal
import fractions
import pathlib
import uuid
from collections.abc import Callable
from types import FunctionType, NoneType
from typing import Any, Final

from spark.errors import SerializationError

_LONGEST_SEARCH: Final = 100
_IMMUTABLE: Final[frozenset[type]] = frozenset(
    {
        NoneType,
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        range,
        type,
        FunctionType,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        decimal.Decimal,
        fractions.Fraction,
        uuid.UUID,
        pathlib.PurePosixPath,
        pathlib.PosixPath,
    }
)


def snapshot(value: Any, *, path: str = "value") -> Any:
    """A value that shares nothing mutable with the given one. Immutable values are shared, not copied.

    :param path: how an error names the value, for instance ``graph_state['a']``.
    :raises SerializationError: the value can't be copied.
    """
    if type(value) in _IMMUTABLE:
        return value
    try:
        return _copy(value)
    except RecursionError:
        return _deepcopy(value, path)  # it keeps a memo, so it copies a value that contains itself
    except Exception as error:
        raise _uncopyable(value, path, error) from error


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind in _IMMUTABLE:
        return value
    copier = _COPIERS.get(kind)
    return copier(value) if copier else copy.deepcopy(value)


def _deepcopy(value: Any, path: str) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise _uncopyable(value, path, error) from error


def _uncopyable(value: Any, path: str, error: Exception) -> SerializationError:
    path, value = _culprit(value, path)
    return SerializationError(
        f"{path} holds a {type(value).__qualname__} that can't be copied ({error}). State and outputs are values: keep "
        "connections, locks and open files on the node itself, and put plain data here.",
        path=path,
    )


def _culprit(value: Any, path: str) -> tuple[str, Any]:
    """The innermost part that can't be copied, and the path to it; asked only after copying has failed."""
    for _ in range(_LONGEST_SEARCH):
        steps = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
        )
        found = next(((step, part) for step, part in steps if not _can_be_copied(part)), None)
        if found is None:
            break
        path, value = f"{path}[{found[0]!r}]", found[1]
    return path, value


def _can_be_copied(value: Any) -> bool:
    try:
        _copy(value)
    except Exception:
        return False
    return True


def _copy_dict(value: dict[Any, Any]) -> dict[Any, Any]:
    return {key: item if type(item) in _IMMUTABLE else _copy(item) for key, item in value.items()}


def _copy_list(value: list[Any]) -> list[Any]:
    return [item if type(item) in _IMMUTABLE else _copy(item) for item in value]


def _copy_tuple(value: tuple[Any, ...]) -> tuple[Any, ...]:
    copied = tuple(_copy_list(list(value)))
    return value if all(map(_is, copied, value)) else copied


def _copy_set(value: set[Any]) -> set[Any]:
    return {_copy(item) for item in value}


def _copy_frozenset(value: frozenset[Any]) -> frozenset[Any]:
    return frozenset(_copy(item) for item in value)


def _is(left: object, right: object) -> bool:
    return left is right


_COPIERS: Final[dict[type, Callable[[Any], Any]]] = {
    dict: _copy_dict,
    list: _copy_list,
    tuple: _copy_tuple,
    set: _copy_set,
    frozenset: _copy_frozenset,
    bytearray: bytearray,
}
