"""pandas frames, series, indexes and scalars ↔ plain data, column by column; numbers are the memory of the frame, not a copy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

from spark.graphs.checkpoint import SavedType
from spark_types_arrays.pandas_arrays import (
    arrays,
    checked_unit,
    checked_zone,
    frequency_to_data,
    holds_objects,
    period_name,
    values_from_data,
    values_to_data,
)

_MANY: Final = 64
"""A frame with more columns, all of one kind of number, is saved as one array."""
_LARGE: Final = 16 * 2**20
_MOST_SINGLY: Final = 1_000
"""A large frame with no more columns is copied column by column."""
_IMMUTABLE: Final = frozenset(
    {str, int, float, bool, complex, bytes, type(None), type(pd.NA), type(pd.NaT), pd.Timestamp, pd.Timedelta}
)


def _frame_to_data(frame: pd.DataFrame) -> dict[str, Any]:
    data: dict[str, Any] = {"index": frame.index, "columns": frame.columns, **_extras_of(frame)}
    if _is_one_array(frame):
        return data | {"array": frame.to_numpy()}
    return data | {"values": [values_to_data(frame.iloc[:, place].array) for place in range(len(frame.columns))]}


def _frame_from_data(data: Any) -> pd.DataFrame:
    index, columns = _checked_index(data["index"]), _checked_index(data["columns"])
    if "array" in data:
        array = data["array"]
        if type(array) is not np.ndarray or array.shape != (len(index), len(columns)):
            raise ValueError("its values do not fit its index and columns")
        frame = pd.DataFrame(array, index=index, columns=columns, copy=False)
    else:
        values = [_column(each, index) for each in data["values"]]
        frame = pd.DataFrame(dict(enumerate(values)), index=index, copy=False)
        frame.columns = columns  # which may hold one name twice
    return _with_extras(frame, data)


def _column(data: Any, index: pd.Index[Any]) -> pd.Series[Any]:
    values = values_from_data(data)
    dtype = object if holds_objects(values) else None
    return pd.Series(values, index=index, dtype=dtype, copy=False)


def _series_to_data(series: pd.Series[Any]) -> dict[str, Any]:
    return {"values": values_to_data(series.array), "index": series.index, "name": series.name, **_extras_of(series)}


def _series_from_data(data: Any) -> pd.Series[Any]:
    series = _column(data["values"], _checked_index(data["index"]))
    series.name = data["name"]
    return _with_extras(series, data)


def _extras_of(value: Any) -> dict[str, Any]:
    extras: dict[str, Any] = {"attrs": value.attrs} if value.attrs else {}
    return extras if value.flags.allows_duplicate_labels else extras | {"unique_labels": True}


def _with_extras(value: Any, data: Any) -> Any:
    value.attrs.update(data.get("attrs", {}))
    if data.get("unique_labels"):
        value.flags.allows_duplicate_labels = False
    return value


def _is_one_array(frame: pd.DataFrame) -> bool:
    if len(frame.columns) <= _MANY:
        return False
    kinds = set(frame.dtypes)
    only = kinds.pop()
    return not kinds and isinstance(only, np.dtype) and only.kind in "biufc"


def _index_to_data(index: pd.Index[Any]) -> dict[str, Any]:
    return {"values": values_to_data(index.array), "name": index.name}


def _index_from_data(data: Any) -> pd.Index[Any]:
    values = values_from_data(data["values"])
    dtype = object if holds_objects(values) else None
    return pd.Index(values, dtype=dtype, name=data["name"], copy=False)


def _regular_to_data(index: Any) -> dict[str, Any]:
    return _index_to_data(index) | {"freq": frequency_to_data(index.freq)}


def _regular_from_data(data: Any) -> Any:
    index: Any = _index_from_data(data)
    index.freq = data["freq"]
    return index


def _range_to_data(index: pd.RangeIndex) -> list[Any]:
    return [index.start, index.stop, index.step, index.name]


def _range_from_data(data: Any) -> pd.RangeIndex:
    start, stop, step, name = data
    return pd.RangeIndex(start, stop, step, name=name)


def _multi_to_data(index: pd.MultiIndex) -> dict[str, Any]:
    return {
        "levels": list(index.levels),
        "codes": [np.asarray(codes) for codes in index.codes],
        "names": list(index.names),
        "sortorder": index.sortorder,
    }


def _multi_from_data(data: Any) -> pd.MultiIndex:
    return pd.MultiIndex(
        levels=[_checked_index(level) for level in data["levels"]],
        codes=data["codes"],
        names=data["names"],
        sortorder=data["sortorder"],
    )


def _checked_index(data: Any) -> pd.Index[Any]:
    if not isinstance(data, pd.Index):
        raise TypeError("its index is none")
    return data


def _timestamp_to_data(moment: pd.Timestamp) -> list[Any]:
    return [int(moment.asm8.view("i8")), moment.unit, moment.tzinfo, moment.fold]


def _timestamp_from_data(data: Any) -> Any:
    number, unit, zone, fold = data
    moment = pd.Timestamp(np.array(number, f"M8[{checked_unit(unit)}]")[()])
    if checked_zone(zone) is not None:
        moment = moment.tz_localize("UTC").tz_convert(zone)
    return moment if moment.fold == fold else moment.replace(fold=fold)


def _timedelta_to_data(span: pd.Timedelta) -> list[Any]:
    return [int(span.asm8.view("i8")), span.unit]


def _timedelta_from_data(data: Any) -> Any:
    number, unit = data
    return pd.Timedelta(np.array(number, f"m8[{checked_unit(unit)}]")[()])


def _period_to_data(period: Any) -> list[Any]:
    return [period.ordinal, period_name(period)]


def _period_from_data(data: Any) -> Any:
    ordinal, frequency = data
    return pd.Period(ordinal=ordinal, freq=frequency)


def _interval_from_data(data: Any) -> Any:
    left, right, closed = data
    return pd.Interval(left, right, closed=closed)


def _copy(value: Any) -> Any:
    """A copy, even of what the cells of its objects refer to."""
    copied = _copy_by_column(value) if _is_large_frame(value) else value.copy(deep=True)
    columns = [value] if value.ndim == 1 else [value.iloc[:, place] for place in range(len(value.columns))]
    for place, column in enumerate(columns):
        if (
            isinstance(column.dtype, np.dtype)
            and column.dtype == object
            and not _IMMUTABLE.issuperset(map(type, column.array))
        ):
            cells = _column({"objects": copy.deepcopy(list(column.array))}, value.index)
            if value.ndim == 1:
                cells.name, cells.attrs = copied.name, copied.attrs
                return cells
            copied.isetitem(place, cells)
    return copied


def _is_large_frame(value: Any) -> bool:
    return value.ndim == 2 and len(value.columns) <= _MOST_SINGLY and value.memory_usage(index=False).sum() > _LARGE


def _copy_by_column(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy that never needs memory for more than itself: that of pandas joins the columns, of which it makes a second one."""
    columns = [_plain(frame.iloc[:, place].array).copy() for place in range(len(frame.columns))]
    copied = pd.DataFrame(
        {
            place: pd.Series(values, index=frame.index, dtype=values.dtype, copy=False)
            for place, values in enumerate(columns)
        },
        index=frame.index.copy(),
        copy=False,
    )
    copied.columns = frame.columns.copy()
    copied.flags.allows_duplicate_labels = frame.flags.allows_duplicate_labels
    copied.attrs = copy.deepcopy(frame.attrs)
    return copied


def _plain(array: Any) -> Any:
    return array.to_numpy() if type(array) is pd.arrays.NumpyExtensionArray else array


def _same(value: Any) -> Any:
    return value


def _exactly(cls: type, from_data: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def exactly_from_data(data: Any) -> Any:
        value = from_data(data)
        if type(value) is not cls:
            raise ValueError(f"it is no {cls.__name__}")
        return value

    return exactly_from_data


def _index(
    cls: type, to_data: Callable[[Any], Any] = _index_to_data, from_data: Callable[[Any], Any] = _index_from_data
) -> SavedType:
    return SavedType(
        cls,
        f"pandas:{cls.__name__}",
        to_data,
        _exactly(cls, from_data),
        copy=lambda index: index.copy(deep=True),
        nbytes=lambda index: int(index.memory_usage()),
    )


def _scalar(cls: type, name: str, to_data: Callable[[Any], Any], from_data: Callable[[Any], Any]) -> SavedType:
    return SavedType(cls, f"pandas:{name}", to_data, _exactly(cls, from_data), copy=_same)


TYPES: Final = [
    SavedType(
        pd.DataFrame,
        "pandas:DataFrame",
        _frame_to_data,
        _frame_from_data,
        copy=_copy,
        nbytes=lambda frame: int(frame.memory_usage().sum()),
    ),
    SavedType(
        pd.Series,
        "pandas:Series",
        _series_to_data,
        _series_from_data,
        copy=_copy,
        nbytes=lambda series: int(series.memory_usage()),
    ),
    *arrays(),
    _index(pd.Index),
    _index(pd.RangeIndex, _range_to_data, _range_from_data),
    _index(pd.MultiIndex, _multi_to_data, _multi_from_data),
    _index(pd.DatetimeIndex, _regular_to_data, _regular_from_data),
    _index(pd.TimedeltaIndex, _regular_to_data, _regular_from_data),
    _index(pd.PeriodIndex),
    _index(pd.IntervalIndex),
    _index(pd.CategoricalIndex),
    _scalar(pd.Timestamp, "Timestamp", _timestamp_to_data, _timestamp_from_data),
    _scalar(pd.Timedelta, "Timedelta", _timedelta_to_data, _timedelta_from_data),
    _scalar(pd.Period, "Period", _period_to_data, _period_from_data),
    _scalar(pd.Interval, "Interval", lambda span: [span.left, span.right, span.closed], _interval_from_data),
    _scalar(type(pd.NaT), "NaT", lambda value: None, lambda data: pd.NaT),
    _scalar(type(pd.NA), "NA", lambda value: None, lambda data: pd.NA),
]
"""What ``PandasTypes`` provides."""
