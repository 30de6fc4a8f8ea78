"""NumPy arrays, masked arrays, scalars and dtypes ↔ plain data. The bytes of an array are its own memory, not a copy of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import prod
from typing import Any, Final

import numpy as np

from spark.graphs.checkpoint import SavedType
from spark_types_arrays.numpy_dtypes import dtype_from_data, dtype_to_data

Array = np.ndarray[Any, Any]


def array_to_data(array: Array) -> dict[str, Any]:
    """The dtype, the shape, the order of the elements unless it is C's, and the bytes."""
    data: dict[str, Any] = {"dtype": dtype_to_data(array.dtype), "shape": list(array.shape)}
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        data["order"] = "F"
        array = array.T
    data["bytes"] = _bytes_of(np.ascontiguousarray(array))
    return data


def array_from_data(data: Any) -> Array:
    """What ``array_to_data`` was given, in the memory of the bytes; it can be changed."""
    dtype, shape, content = dtype_from_data(data["dtype"]), data["shape"], data["bytes"]
    if type(shape) is not list or not {int}.issuperset(map(type, shape)) or min(shape, default=0) < 0:
        raise ValueError("its shape is no list of lengths")
    if type(content) is not memoryview or content.nbytes != prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of {dtype} with the shape {shape} does not have so many bytes")
    if dtype.subdtype is not None or (dtype.itemsize == 0 and prod(shape) > 1):
        raise ValueError("its elements have no bytes, so anybody could claim any number of them")
    if not content.nbytes:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, buffer=content, order="F" if data.get("order") == "F" else "C")


def copy_array(array: Array) -> Array:
    """A copy; the array itself where its memory belongs to ``bytes``, which nobody can change."""
    if array.dtype.hasobject:
        return copy.deepcopy(array)
    return array if _is_constant(array) else np.array(array, copy=True, order="K")


def _bytes_of(array: Array) -> memoryview:
    """The memory of an array whose elements stand in C's order."""
    flat: Any = array.reshape(-1).view(np.uint8) if array.nbytes else b""
    return memoryview(flat)


def _is_constant(array: Array) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return type(base) is bytes


def _masked_to_data(array: np.ma.MaskedArray[Any, Any]) -> dict[str, Any]:
    return {
        "data": np.asarray(array.data),
        "mask": None if array.mask is np.ma.nomask else np.asarray(array.mask),
        "fill": np.asarray(array.fill_value),
        "hard": array.hardmask,
    }


def _masked_from_data(data: Any) -> np.ma.MaskedArray[Any, Any]:
    values, mask, fill = data["data"], data["mask"], data["fill"]
    if type(values) is not np.ndarray or type(fill) is not np.ndarray or fill.size != 1:
        raise ValueError("it is no masked array")
    if mask is not None and (type(mask) is not np.ndarray or mask.shape != values.shape):
        raise ValueError("its mask has another shape")
    # NumPy would convert them, and may write past the end of its memory where a field has another shape.
    if mask is not None and mask.dtype != np.ma.make_mask_descr(values.dtype):
        raise ValueError("its mask has no field for each of its elements")
    if fill.dtype != values.dtype and (fill.dtype.names is not None or values.dtype.names is not None):
        raise ValueError("what stands for masked elements has other fields than they have")
    made: Any = np.ma.MaskedArray(values, mask=np.ma.nomask if mask is None else mask, copy=False)
    made.fill_value = fill[()]
    if data["hard"]:
        made.harden_mask()
    return made  # type: ignore[no-any-return]


def _scalar_type(cls: type[np.generic]) -> SavedType:
    is_long = issubclass(cls, np.longdouble | np.clongdouble)  # for which Python's own numbers have no room
    make = None if is_long else _SCALARS.get(np.dtype(cls).kind)
    to_data: Callable[[Any], Any] = make or np.asarray

    def from_data(data: Any) -> Any:
        value: Any = _only_element(data) if make is None else cls(_checked(data, make))
        if type(value) is not cls:
            raise ValueError(f"it is no {cls.__name__}")
        return value

    share = copy.copy if cls is np.void else _same
    return SavedType(cls, f"numpy:{cls.__name__}", to_data, from_data, copy=share)


def _only_element(data: Any) -> Any:
    if type(data) is not np.ndarray or data.shape != ():
        raise ValueError("it is no single element")
    return data[()]


def _checked(data: Any, kind: type) -> Any:
    if type(data) is not kind:
        raise ValueError(f"a {kind.__name__} was expected, not a {type(data).__name__}")
    return data


def _dtype_type(cls: type[np.dtype[Any]]) -> SavedType:
    def from_data(data: Any) -> np.dtype[Any]:
        dtype = dtype_from_data(data)
        if type(dtype) is not cls:
            raise ValueError(f"it is no {cls.__name__}")
        return dtype

    return SavedType(cls, f"numpy:{cls.__name__}", dtype_to_data, from_data, copy=_same)


def _same(value: Any) -> Any:
    return value


def _nbytes(array: Any) -> int:
    return int(array.nbytes)


_SCALARS: Final[dict[str, type]] = {
    "b": bool,
    "i": int,
    "u": int,
    "f": float,
    "c": complex,
    "U": str,
    "S": bytes,
}
"""By kind of dtype, what a scalar is saved as; of other kinds, an array without dimensions."""
_CODES: Final = "?bhilqBHILQefdgFDGSUVMm"

TYPES: Final = [
    SavedType(np.ndarray, "numpy:ndarray", array_to_data, array_from_data, copy=copy_array, nbytes=_nbytes),
    SavedType(
        np.ma.MaskedArray,
        "numpy.ma:MaskedArray",
        _masked_to_data,
        _masked_from_data,
        copy=copy.deepcopy,
        nbytes=_nbytes,
    ),
    *(_scalar_type(cls) for cls in dict.fromkeys(np.dtype(code).type for code in _CODES)),
    *(_dtype_type(cls) for cls in dict.fromkeys(type(np.dtype(code)) for code in _CODES)),
]
"""What ``NumpyTypes`` provides."""
