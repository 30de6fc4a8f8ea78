"""What columns and indexes of pandas hold: arrays of NumPy, and pandas' own kinds of arrays ↔ plain data.

pandas' own arrays are types of their own; arrays of Python objects become lists, whose items are saved as anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any, Final

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from spark.errors import SerializationError
from spark.graphs.checkpoint import SavedType

UNITS: Final = ("s", "ms", "us", "ns")
_FEW: Final = 1_000
"""So many texts are saved one by one, even where PyArrow holds them."""
_OBJECTS: Final = "objects"


def values_to_data(values: Any) -> Any:
    """The array of a column or an index: what it is, or the list of its Python objects."""
    if type(values) is pd.arrays.NumpyExtensionArray:
        values = values.to_numpy()
    if holds_objects(values):
        return {_OBJECTS: values.tolist()}
    return values


def values_from_data(data: Any) -> Any:
    """What ``values_to_data`` was given, as one of pandas' arrays or a NumPy array in one dimension."""
    if type(data) is dict:
        values = np.empty(len(data[_OBJECTS]), dtype=object)
        for place, value in enumerate(data[_OBJECTS]):  # NumPy would look into lists
            values[place] = value
        return values
    if not isinstance(data, pd.api.extensions.ExtensionArray) and type(data) is not np.ndarray:
        raise ValueError("its values are no array")
    if data.ndim != 1 or holds_objects(data):
        raise ValueError("its values are no array in one dimension")
    return data


def holds_objects(values: Any) -> bool:
    """Whether it is an array of Python objects."""
    return isinstance(values, np.ndarray) and values.dtype == np.dtype(object)


def frequency_to_data(frequency: Any) -> str | None:
    """A frequency by its name.

    :raises SerializationError: it has none from which it can be made again.
    """
    if frequency is None:
        return None
    try:
        if to_offset(frequency.freqstr) == frequency:
            return str(frequency.freqstr)
    except ValueError:
        pass
    raise SerializationError(
        f"its freq {frequency!r} can't be made again from its name. Set index.freq to None, or to one of pandas' names."
    )


def period_name(periods: Any) -> str:
    """The frequency of a period, or of an array of periods, by its name.

    :raises SerializationError: it has none from which it can be made again.
    """
    name = str(periods.freqstr)
    if pd.PeriodDtype(name).freq != periods.freq:
        raise SerializationError(
            f"its freq {periods.freq!r} can't be made again from its name. Use one of pandas' names."
        )
    return name


def checked_zone(zone: Any) -> tzinfo | None:
    """A time zone, or none."""
    if zone is not None and not isinstance(zone, tzinfo):
        raise ValueError("its time zone is none")
    return zone


def checked_unit(unit: Any) -> str:
    """The unit of moments."""
    if unit not in UNITS:
        raise ValueError(f"{unit!r} is no unit of time")
    return str(unit)


def _integers(data: Any) -> np.ndarray[Any, Any]:
    if type(data) is not np.ndarray or data.dtype != np.int64 or data.ndim != 1:
        raise ValueError("its values are no integers")
    return data


def _times_to_data(array: Any) -> dict[str, Any]:
    return {"i8": array.view("i8"), "unit": array.unit}


def _moments_to_data(array: Any) -> dict[str, Any]:
    return _times_to_data(array) | {"zone": array.tz}


def _moments_from_data(data: Any) -> Any:
    index = pd.DatetimeIndex(_integers(data["i8"]).view(f"M8[{checked_unit(data['unit'])}]"), copy=False)
    zone = checked_zone(data["zone"])
    return (index if zone is None else index.tz_localize("UTC").tz_convert(zone)).array


def _spans_from_data(data: Any) -> Any:
    return pd.TimedeltaIndex(_integers(data["i8"]).view(f"m8[{checked_unit(data['unit'])}]"), copy=False).array


def _periods_to_data(array: Any) -> dict[str, Any]:
    return {"i8": array.view("i8"), "freq": period_name(array)}


def _periods_from_data(data: Any) -> Any:
    return pd.PeriodIndex.from_ordinals(_integers(data["i8"]), freq=data["freq"]).array


def _intervals_to_data(array: Any) -> dict[str, Any]:
    return {"left": array.left, "right": array.right, "closed": array.closed}


def _intervals_from_data(data: Any) -> Any:
    return pd.arrays.IntervalArray.from_arrays(data["left"], data["right"], closed=data["closed"])


def _categories_to_data(array: Any) -> dict[str, Any]:
    return {"codes": array.codes, "categories": array.categories, "ordered": array.ordered}


def _categories_from_data(data: Any) -> Any:
    if not isinstance(data["categories"], pd.Index):
        raise TypeError("its categories are no index")
    dtype = pd.CategoricalDtype(data["categories"], ordered=data["ordered"])
    return pd.Categorical.from_codes(data["codes"], dtype=dtype)


def _masked_to_data(array: Any) -> dict[str, Any]:
    return {"values": array._data, "mask": array._mask}


def _masked_from_data(cls: Any) -> Callable[[Any], Any]:
    return lambda data: cls(data["values"], data["mask"], copy=False)


def _texts_to_data(array: Any) -> dict[str, Any]:
    dtype = array.dtype
    data = {"storage": dtype.storage, "na": dtype.na_value is pd.NA}
    if dtype.storage == "pyarrow" and len(array) > _FEW:
        return data | {"arrow": array.__arrow_array__()}
    return data | {"texts": array.to_numpy(dtype=object, na_value=None).tolist()}


def _texts_from_data(data: Any) -> Any:
    na_value = pd.NA if data["na"] else np.nan
    dtype: Any = pd.StringDtype(data["storage"], na_value=na_value)
    if "arrow" in data:
        return dtype.__from_arrow__(data["arrow"])
    texts: Any = data["texts"]
    if type(texts) is not list or not {str, type(None)}.issuperset(map(type, texts)):
        raise ValueError("its values are no texts")
    return pd.array(texts, dtype=dtype)


def _arrow_to_data(array: Any) -> Any:
    return array.__arrow_array__()


def _arrow_from_data(data: Any) -> Any:
    return pd.arrays.ArrowExtensionArray(data)


def _text_classes() -> list[type]:
    """Which there are depends on the release, and on whether PyArrow is installed."""
    found = []
    for storage in ("python", "pyarrow"):
        for na_value in (pd.NA, np.nan):
            try:
                found.append(type(pd.array([], dtype=pd.StringDtype(storage, na_value=na_value))))
            except ImportError:
                continue
    return list(dict.fromkeys(found))


def _array(cls: type, to_data: Callable[[Any], Any], from_data: Callable[[Any], Any]) -> SavedType:
    def exactly_from_data(data: Any) -> Any:
        array = from_data(data)
        if type(array) is not cls:
            raise ValueError(f"it is no {cls.__name__}")
        return array

    return SavedType(
        cls,
        f"pandas:{cls.__name__}",
        to_data,
        exactly_from_data,
        copy=lambda array: array.copy(),
        nbytes=lambda array: int(array.nbytes),
    )


def arrays() -> list[SavedType]:
    """pandas' own kinds of arrays."""
    masked = (pd.arrays.BooleanArray, pd.arrays.IntegerArray, pd.arrays.FloatingArray)
    return [
        _array(pd.arrays.DatetimeArray, _moments_to_data, _moments_from_data),
        _array(pd.arrays.TimedeltaArray, _times_to_data, _spans_from_data),
        _array(pd.arrays.PeriodArray, _periods_to_data, _periods_from_data),
        _array(pd.arrays.IntervalArray, _intervals_to_data, _intervals_from_data),
        _array(pd.Categorical, _categories_to_data, _categories_from_data),
        *(_array(cls, _masked_to_data, _masked_from_data(cls)) for cls in masked),
        *(_array(cls, _texts_to_data, _texts_from_data) for cls in _text_classes()),
        _array(pd.arrays.ArrowExtensionArray, _arrow_to_data, _arrow_from_data),
    ]
