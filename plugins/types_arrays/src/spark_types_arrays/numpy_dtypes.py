"""NumPy dtypes ↔ plain data, exactly: ``dtype("<f8")`` ↔ ``"<f8"``, and structured ones with their names, offsets and sizes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from spark.errors import SerializationError

_SIMPLE: Final = re.compile(r"[<>|][biufcmMSUV]\d{1,9}(\[\d{0,9}[a-zA-Zμ]{1,7}\])?")
_LONG_DOUBLE: Final = "$long"
_BITS: Final = int(np.finfo(np.longdouble).nmant)
"""Of the fraction: tells one machine's long double from another's of the same size."""


def dtype_to_data(dtype: np.dtype[Any]) -> Any:
    """A dtype as plain data.

    :raises SerializationError: it can't be made again exactly.
    """
    if dtype.hasobject:
        raise SerializationError(
            "its elements are Python objects, not numbers, text or times. Store a list (array.tolist()), or give the array "
            "another dtype."
        )
    data = _described(dtype)
    if data is _PLAIN.get(dtype.char) and not dtype.metadata and dtype.isnative:
        return data  # as most are
    if _is_same(dtype_from_data(data), dtype):
        return data
    more = " with metadata" if dtype.metadata else ""
    raise SerializationError(f"its dtype {dtype!r}{more} can't be made again exactly. Convert it with astype(…).")


def dtype_from_data(data: Any) -> np.dtype[Any]:
    """What ``dtype_to_data`` was given.

    :raises ValueError: it was given nothing that becomes this.
    """
    if type(data) is str:
        if _SIMPLE.fullmatch(data) is None:
            raise ValueError(f"{data[:40]!r} is no dtype")
        return np.dtype(data)
    if type(data) is list:
        kind, *rest = data
        made: np.dtype[Any] = _MAKERS[kind](*rest)
        return made
    raise ValueError("it is no dtype")


def _described(dtype: np.dtype[Any]) -> Any:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return ["array", _described(base), list(shape)]
    if dtype.fields is not None and dtype.names is not None:
        return ["fields", [_field(dtype, name) for name in dtype.names], dtype.itemsize, dtype.isalignedstruct]
    if dtype.type in (np.longdouble, np.clongdouble):
        return [_LONG_DOUBLE, dtype.str, _BITS]
    return _PLAIN.get(dtype.char, dtype.str) if dtype.isnative else dtype.str


def _field(dtype: np.dtype[Any], name: str) -> list[Any]:
    assert dtype.fields is not None
    kind, offset, *title = dtype.fields[name]
    return [name, _described(kind), offset, *title]


def _array(base: Any, shape: list[int]) -> np.dtype[Any]:
    return np.dtype((dtype_from_data(base), tuple(shape)))


def _fields(fields: list[list[Any]], itemsize: int, is_aligned: bool) -> np.dtype[Any]:
    columns: dict[str, Any] = {
        "names": [name for name, *_ in fields],
        "formats": [dtype_from_data(kind) for _, kind, *_ in fields],
        "offsets": [offset for _, _, offset, *_ in fields],
        "itemsize": itemsize,
    }
    if any(title for _, _, _, *title in fields):
        columns["titles"] = [title[0] if title else None for _, _, _, *title in fields]
    make: Any = np.dtype
    made: np.dtype[Any] = make(columns, align=is_aligned)
    return made


def _long_double(text: str, bits: int) -> np.dtype[Any]:
    if bits != _BITS:
        raise ValueError(f"it is a long double of another kind of machine, with {bits} bits and not {_BITS}")
    if np.dtype(text).type not in (np.longdouble, np.clongdouble):
        raise ValueError("it is no long double")
    return np.dtype(text)


def _is_same(one: np.dtype[Any], other: np.dtype[Any]) -> bool:
    """Whether two dtypes agree also in what ``==`` does not compare."""
    if type(one) is not type(other) or one != other or one.type is not other.type or other.metadata:
        return False
    if one.subdtype is not None and other.subdtype is not None:
        return _is_same(one.subdtype[0], other.subdtype[0])
    if one.fields is None or other.fields is None:
        return one.str == other.str
    return one.isalignedstruct == other.isalignedstruct and all(
        _is_same(one.fields[name][0], other.fields[name][0]) for name in one.names or ()
    )


def _named(char: str) -> np.dtype[Any]:
    if char not in ("q", "Q"):
        raise ValueError(f"{char!r} is no dtype")
    return np.dtype(char)


_MAKERS: Final[dict[str, Callable[..., np.dtype[Any]]]] = {
    "array": _array,
    "fields": _fields,
    _LONG_DOUBLE: _long_double,
    "char": _named,
}
_PLAIN: Final = {
    code: np.dtype(code).str if np.dtype(np.dtype(code).str).char == code else ["char", code]
    for code in "?bhilqBHILQefdFD"
}
"""By its code, a dtype of numbers. Two codes of integers may stand for the same size: for one of them, its bytes do not tell."""
