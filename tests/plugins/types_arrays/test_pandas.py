"""pandas frames, series and indexes come back exactly, and what is kept of them can't be changed from outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import pandas as hpd

from spark.errors import DeserializationError, SerializationError
from spark.graphs.checkpoint.serialization.reader import TreeReader
from spark.graphs.checkpoint.serialization.writer import TreeWriter
from spark.graphs.checkpoint.storage import RecordCodec
from spark.graphs.values.snapshots import snapshot
from tests.plugins.types_arrays.exact import is_same_frame

CODEC = RecordCodec()
cells = (
    st.none() | st.booleans() | st.integers() | st.text() | st.floats() | st.just(pd.NaT) | st.just(pd.NA) | st.binary()
)
moments = st.datetimes(min_value=pd.Timestamp("1900-01-01"), max_value=pd.Timestamp("2200-01-01"))
ZONES = (None, "UTC", "Europe/Berlin", "Asia/Kolkata")
columns = st.lists(
    st.sampled_from(
        [
            hpd.column(dtype=np.dtype("f8")),
            hpd.column(dtype=np.dtype("f4")),
            hpd.column(dtype=np.dtype("i8")),
            hpd.column(dtype=np.dtype("u1")),
            hpd.column(dtype=bool),
            hpd.column(dtype=object, elements=cells),
            hpd.column(dtype=np.dtype("M8[ns]"), elements=moments),
        ]
    ),
    max_size=5,
)


def restored(value: Any) -> Any:
    return TreeReader().value(CODEC.tree(value))


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_any_frame_comes_back(data: st.DataObject) -> None:
    chosen = [hpd.column(f"c{n}", dtype=c.dtype, elements=c.elements) for n, c in enumerate(data.draw(columns))]
    kinds = (
        hpd.range_indexes(max_size=5),
        hpd.indexes(dtype=np.dtype("i8"), max_size=5),
        hpd.indexes(elements=st.text(), max_size=5),
    )
    index = data.draw(st.sampled_from(kinds))
    frame = data.draw(hpd.data_frames(columns=chosen, index=index))

    assert is_same_frame(frame, restored(frame))
    assert is_same_frame(frame, snapshot(frame))


@given(
    st.lists(moments | st.none(), max_size=5),
    st.sampled_from([None, "UTC", "Europe/Berlin", "Asia/Kolkata"]),
    st.sampled_from(["s", "ms", "us", "ns"]),
)
@settings(max_examples=30, deadline=None)
def test_any_moments_come_back(values: list[Any], zone: str | None, unit: Any) -> None:
    index = pd.DatetimeIndex(values, dtype="M8[us]").tz_localize("UTC").tz_convert(zone).as_unit(unit)

    for each in (index, pd.Series(index), *index):
        assert is_same_frame(each, restored(each))


@given(st.lists(st.text() | st.none(), max_size=6), st.sampled_from(["python", "pyarrow"]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_any_texts_come_back(values: list[Any], storage: str, is_na: bool) -> None:
    values = [value if value is None else value.encode("utf-8", "replace").decode() for value in values]
    array = pd.array(values, dtype=pd.StringDtype(storage, na_value=pd.NA if is_na else np.nan))

    assert is_same_frame(array, restored(array))


def test_many_texts_of_pyarrow_are_its_own_buffers() -> None:
    frame = pd.DataFrame({"texts": pd.array([f"text {n}" for n in range(5000)], dtype=pd.StringDtype("pyarrow"))})
    views: list[memoryview] = []
    tree = TreeWriter(keep=lambda pieces: views.extend(pieces.views) or [0, 1]).tree(frame)

    assert "text 4999" not in str(tree)
    assert is_same_frame(frame, restored(frame))


@pytest.mark.parametrize("layout", ["columns", "rows", "loose"])
def test_the_numbers_of_a_snapshot_are_not_copied_on_the_way_out(layout: str) -> None:
    """However the frame was made, that of its snapshot lies column by column."""
    values = np.arange(30_000.0).reshape(3000, 10)
    frame = pd.DataFrame(values) if layout == "rows" else pd.DataFrame({n: values[:, n].copy() for n in range(10)})
    if layout == "loose":
        for place in range(10):
            frame.isetitem(place, values[:, place].copy())
    CODEC.tree(frame)
    kept = snapshot(frame)
    views: list[memoryview] = []
    TreeWriter(keep=lambda pieces: views.extend(pieces.views) or [0, 1]).tree(kept)

    assert len(views) == 10
    for place, view in enumerate(views):
        assert np.shares_memory(np.frombuffer(view, np.uint8), kept.iloc[:, place].to_numpy())


@pytest.mark.parametrize("rows", [3, 400_000])
def test_what_is_kept_can_not_be_changed_from_outside(rows: int) -> None:
    cell = ["in a cell"]
    frame = pd.DataFrame({"numbers": np.zeros(rows), "cells": pd.Series([cell] * rows, dtype=object)})
    frame.attrs["notes"] = [1]
    series = frame["cells"].copy()
    CODEC.tree(frame.iloc[:1])
    kept, kept_series = snapshot(frame), snapshot(series)
    frame.iloc[0, 0] = 1
    cell.append("more")
    frame.attrs["notes"].append(2)

    assert (kept.iloc[0, 0], kept.iloc[0, 1], kept_series.iloc[0]) == (0, ["in a cell"], ["in a cell"])
    assert kept.attrs == {"notes": [1]}


def test_what_comes_back_can_be_changed() -> None:
    frame = restored(pd.DataFrame({"numbers": [1.0, 2.0], "texts": ["a", "b"]}))
    frame.loc[0, "numbers"] = 5
    frame.loc[1, "texts"] = "c"

    assert frame.to_dict("list") == {"numbers": [5, 2], "texts": ["a", "c"]}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (pd.DataFrame({"a": [1], "b": [object()]}), r"state.values\[1\]\['objects'\]\[0\] can't be saved"),
        (
            {"x": pd.Series([1, {2: lambda: 1}], dtype=object)},
            r"state\['x'\].values\['objects'\]\[1\]\[2\] can't be saved",
        ),
        (
            pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
            r"state.values\[0\] can't be saved: its type .*SparseArray",
        ),
        (pd.date_range("2024", periods=3, freq=pd.DateOffset(months=1, days=2)), "its freq"),
    ],
)
def test_what_would_not_come_back_is_refused_with_the_path(value: Any, path: str) -> None:
    with pytest.raises(SerializationError, match=path):
        CODEC.tree(value, "state")


@pytest.mark.parametrize(
    "tree",
    [
        {"$type": ["pandas:DataFrame", {"index": 1, "columns": 2, "values": []}]},
        {"$type": ["pandas:RangeIndex", [0, 5, 0, None]]},
        {"$type": ["pandas:Timestamp", [0, "fortnight", None, 0]]},
        {"$type": ["pandas:Timestamp", [0, "s", "Europe/Berlin", 0]]},
        {"$type": ["pandas:DatetimeArray", {"i8": [1], "unit": "ns", "zone": None}]},
        {"$type": ["pandas:Categorical", {"codes": [5], "categories": ["a"], "ordered": False}]},
        {"$type": ["pandas:StringArray", {"storage": "python", "na": True, "texts": [1]}]},
        {"$type": ["pandas:Index", {"values": {"objects": 5}, "name": None}]},
        {"$type": ["pandas:DatetimeIndex", {"values": {"objects": []}, "name": None, "freq": "x"}]},
    ],
    ids=str,
)
def test_what_pandas_never_held_is_refused(tree: Any) -> None:
    with pytest.raises(DeserializationError, match="can't be rebuilt"):
        TreeReader().value(tree)
