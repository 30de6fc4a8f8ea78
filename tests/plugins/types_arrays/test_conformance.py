"""What every bundle of types promises, of NumPy, pandas and PyArrow."""

from __future__ import annotations

import datetime
import decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from spark.hooks import TypesSpec
from spark_testing import TypesConformance
from spark_types_arrays.plugin import spark_types
from tests.plugins.types_arrays.exact import is_same_array, is_same_frame, is_same_table


def spec_of(name: str) -> TypesSpec:
    return next(spec for spec in spark_types() if spec.name == name)


class TestNumpy(TypesConformance):
    spec = spec_of("numpy")

    def is_same(self, one: Any, other: Any) -> bool:
        return is_same_array(one, other)

    @pytest.fixture
    def values(self) -> list[Any]:
        aligned = np.dtype([("a", "i1"), ("b", "<f8", (2, 2)), ("c", [("d", ">i2")])], align=True)
        codes = "?bhilqBHILQefdgFDG"
        return [
            np.arange(5.0),
            np.arange(3000.0),
            np.asfortranarray(np.arange(6000).reshape(2, 3000)),
            np.arange(6000)[::-2],
            np.array(3),
            np.empty((0, 5), "M8[ns]"),
            np.array(["2024-01-01", "NaT"], "M8[D]"),
            np.array([3, -1], "m8[25us]"),
            np.array([1, 2], ">i4"),
            np.array(["a", "bé"]),
            np.array([b"a", b"bc\0d"]),
            np.zeros(3, aligned),
            np.array([b"abc", b"def"], "V3"),
            np.broadcast_to(np.arange(3), (2, 3)),
            np.array([np.nan, -0.0, np.inf]),
            np.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=7),
            np.ma.array([1.0, 2.0]),
            np.ma.array(np.zeros(2, aligned), hard_mask=True),
            *(np.ones(2, code) for code in codes),
            *(np.ones((), code)[()] for code in codes),
            np.longdouble(1) / 3,
            *(np.str_("é"), np.bytes_(b"\0x"), np.datetime64("2024-01-01", "s"), np.timedelta64(3, "h")),
            *(np.void(b"abc"), np.zeros(1, aligned)[0], np.float64("nan")),
            *(np.dtype(code) for code in codes),
            *(
                np.dtype("S3"),
                np.dtype("U3"),
                np.dtype("V3"),
                np.dtype("M8[ms]"),
                np.dtype("m8[Y]"),
                np.dtype(">f4"),
                aligned,
            ),
        ]

    @pytest.fixture
    def refused(self) -> list[Any]:
        return [
            np.array([{}], object),
            np.zeros(2, [("a", "O")]),
            np.ma.array([None, 1], object),
            np.rec.array([(1,)], dtype=[("a", "i4")]),
            np.array(["a"], np.dtypes.StringDType()),
            np.zeros(2, np.dtype("f8", metadata={"a": 1})),
            np.dtype(object),
        ]


class TestPandas(TypesConformance):
    spec = spec_of("pandas")
    hostile_trees = 12

    def is_same(self, one: Any, other: Any) -> bool:
        return is_same_frame(one, other)

    @pytest.fixture
    def values(self) -> list[Any]:
        times = pd.to_datetime(["2024-03-31 01:30", None])
        frame = pd.DataFrame(
            {
                "floats": [1.5, np.nan],
                "integers": [1, 2],
                "booleans": [True, False],
                "texts": ["a", None],
                "objects": pd.Series([1, "x"], dtype=object),
                "missing": pd.Series([None, np.nan], dtype=object),
                "missing too": pd.Series([pd.NA, pd.NaT], dtype=object),
                "lists": pd.Series([[1, (2,)], {"a": {1}}], dtype=object),
                "categories": pd.Categorical(["x", "y"], categories=["y", "x", "z"], ordered=True),
                "times": times,
                "zoned": times.tz_localize("Europe/Berlin"),
                "seconds": times.as_unit("s"),
                "spans": pd.to_timedelta([1, None], unit="s"),
                "periods": pd.period_range("2024", periods=2, freq="M"),
                "intervals": pd.interval_range(0, 2, closed="both"),
                "Int64": pd.array([1, None], "Int64"),
                "boolean": pd.array([True, None], "boolean"),
                "Float32": pd.array([1.5, None], "Float32"),
                "python": pd.array(["a", None], pd.StringDtype("python")),
                "python nan": pd.array(["a", None], pd.StringDtype("python", na_value=np.nan)),
                "pyarrow": pd.array(["a", None], pd.StringDtype("pyarrow")),
                "pyarrow nan": pd.array(["a", None], pd.StringDtype("pyarrow", na_value=np.nan)),
                "int8[pyarrow]": pd.array([1, None], "int8[pyarrow]"),
            }
        )
        frame.attrs = {"source": ("a", 1)}
        unique = pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)
        return [
            frame,
            frame.iloc[:0],
            frame.set_index(["integers", "texts"]),
            pd.DataFrame(),
            pd.DataFrame(index=[1, 2]),
            pd.DataFrame(columns=["a", "a"]),
            pd.DataFrame([[1, 2.0]], columns=["a", "a"]),
            pd.DataFrame({"a": np.arange(4000.0), "b": np.arange(4000)}),
            pd.DataFrame(np.arange(7000).reshape(70, 100)),
            unique,
            frame["floats"],
            frame["lists"],
            frame["zoned"],
            pd.Series([1, 2], name=("a", 1), index=["x", "y"]),
            pd.Series(dtype="datetime64[ns, UTC]"),
            pd.Series(["text"] * 2000),
            *(frame[name].array for name in frame.columns if not isinstance(frame[name].dtype, np.dtype)),
            times.array,
            pd.to_timedelta([1, None], unit="s").array,
            pd.RangeIndex(0, 10, 3, name="x"),
            pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", None]),
            pd.date_range("2024", periods=5, freq="W-TUE", tz=ZoneInfo("Europe/Paris")),
            pd.date_range("2024", periods=2000, freq="h"),
            pd.DatetimeIndex(["2024-01-01", "2024-01-05", "NaT"]),
            pd.timedelta_range(0, periods=3, freq="90min"),
            pd.period_range("2024Q1", periods=3, freq="Q-JAN"),
            pd.interval_range(pd.Timestamp("2024"), periods=2),
            pd.CategoricalIndex(["a", "b", None]),
            pd.Index(["a", "b"], name="x"),
            pd.Index(["a", None, 1], dtype=object),
            pd.Index([1.5, np.nan]),
            *(pd.Timestamp("2024"), pd.Timestamp("2024-01-01 00:00:00.123456789", tz="Asia/Tokyo")),
            pd.Timestamp("2024-10-27 01:30", tz="UTC").tz_convert("Europe/Berlin"),
            *(pd.Timedelta("1s"), pd.Timedelta(3, "ns"), pd.Period("2024", "M"), pd.Period("2024", "D")),
            *(pd.Interval(1, 2, closed="left"), pd.Interval(pd.Timestamp("2024"), pd.Timestamp("2025"))),
            *(pd.NaT, pd.NA),
        ]

    @pytest.fixture
    def refused(self) -> list[Any]:
        return [
            pd.DataFrame({"a": [object()]}),
            pd.Series([lambda: 1], dtype=object),
            pd.arrays.SparseArray([0, 1]),
            pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
            pd.date_range("2024", periods=3, freq=pd.DateOffset(months=1, days=2)),
        ]


class TestPyarrow(TypesConformance):
    spec = spec_of("pyarrow")
    # Those from which others are derived, and one whose name is misspelt there.
    untried = frozenset(
        f"pyarrow:{name}Array" for name in ("BaseList", "Decima32", "FloatingPoint", "Integer", "Numeric")
    )
    hostile_trees = 12

    def is_same(self, one: Any, other: Any) -> bool:
        return is_same_table(one, other)

    @pytest.fixture
    def values(self) -> list[Any]:
        moment = datetime.datetime(2024, 1, 1)
        table = pa.table(
            {
                "numbers": [1, None, 3],
                "texts": ["x", None, "z"],
                "dictionary": pa.array(["a", "b", "a"]).dictionary_encode(),
                "lists": [[1], [2, 3], None],
                "structs": [{"x": 1}, None, {"x": 2}],
                "decimals": [decimal.Decimal("1.10"), None, None],
                "times": pa.array([moment] * 3, pa.timestamp("us", tz="UTC")),
                "nulls": pa.nulls(3),
            }
        ).replace_schema_metadata({"k": "v"})
        integers = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
        floats = (pa.float16(), pa.float32(), pa.float64())
        texts = (pa.string(), pa.large_string(), pa.string_view())
        blobs = (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(1))
        lists = (pa.list_(pa.int8()), pa.large_list(pa.int8()), pa.list_view(pa.int8()), pa.large_list_view(pa.int8()))
        decimals = (pa.decimal32(5, 2), pa.decimal64(5, 2), pa.decimal128(5, 2), pa.decimal256(5, 2))
        return [
            table,
            table.slice(1, 1),
            table.slice(0, 0),
            pa.table({}),
            pa.table({"a": range(4000), "b": ["text"] * 4000}),
            table.schema,
            table.to_batches()[0],
            table.to_batches()[0].slice(0, 0),
            pa.chunked_array([[1], [2, 3]]),
            pa.chunked_array([], pa.int8()),
            *(pa.array([1, None], kind) for kind in (*integers, *floats)),
            *(pa.array([moment.date(), None], kind) for kind in (pa.date32(), pa.date64())),
            pa.array([moment, None], pa.timestamp("ns")),
            *(pa.array([datetime.time(1, 2), None], kind) for kind in (pa.time32("s"), pa.time64("us"))),
            pa.array([datetime.timedelta(1)]),
            *(pa.array(["longer than twelve", None], kind) for kind in texts),
            *(pa.array([b"x", None], kind) for kind in blobs),
            *(pa.array([[1], None], kind) for kind in lists),
            *(pa.array([decimal.Decimal("1.10"), None], kind) for kind in decimals),
            pa.array([[1, 2], None], pa.list_(pa.int8(), 2)),
            pa.array([True, None]),
            pa.array([{"a": 1}, None]),
            pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())),
            pa.nulls(2),
            pa.array(["a", "b", "a"]).dictionary_encode(),
            pa.array([1, 2, 3])[1:],
            pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
            pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]),
            pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        ]

    @pytest.fixture
    def refused(self) -> list[Any]:
        array = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"x" * 16], pa.binary(16)))
        return [array, pa.table({"a": array}), pa.schema([("a", pa.list_(pa.uuid()))])]
