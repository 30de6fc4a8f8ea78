"""Whether arrays, frames and tables are exactly the same: kinds, dtypes, bytes, and all that ``==`` does not compare."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_same_array(one: Any, other: Any) -> bool:
    if isinstance(one, np.ma.MaskedArray):
        return (
            is_same_array(one.data, other.data)
            and (one.mask is np.ma.nomask) == (other.mask is np.ma.nomask)
            and np.array_equal(one.mask, other.mask)
            and one.hardmask == other.hardmask
            and is_same_array(np.asarray(one.fill_value), np.asarray(other.fill_value))
        )
    if isinstance(one, np.ndarray):
        return (
            type(one) is type(other)
            and is_same_dtype(one.dtype, other.dtype)
            and one.shape == other.shape
            and (bool(np.all(one == other)) if one.dtype.fields else one.tobytes() == other.tobytes())
            and (not one.flags.f_contiguous or one.flags.c_contiguous or bool(other.flags.f_contiguous))
        )
    if isinstance(one, np.dtype):
        return is_same_dtype(one, other)
    if isinstance(one, np.void):
        return type(one) is type(other) and is_same_array(np.asarray(one), np.asarray(other))
    return type(one) is type(other) and np.asarray(one).tobytes() == np.asarray(other).tobytes()


def is_same_dtype(one: np.dtype[Any], other: np.dtype[Any]) -> bool:
    return (
        one == other
        and one.type is other.type
        and one.str == other.str
        and one.isalignedstruct == other.isalignedstruct
        and one.descr == other.descr
    )


def is_same_frame(one: Any, other: Any) -> bool:
    import pandas as pd
    import pandas.testing as testing

    if type(one) is not type(other):
        return False
    if isinstance(one, pd.DataFrame | pd.Series):
        assert_same = testing.assert_frame_equal if isinstance(one, pd.DataFrame) else testing.assert_series_equal
        assert_same(one, other, check_exact=True, check_freq=True, check_flags=True, check_categorical=True)
        columns = [(one, other)] if one.ndim == 1 else [(one.iloc[:, n], other.iloc[:, n]) for n in range(one.shape[1])]
        return one.attrs == other.attrs and all(is_same_column(*pair) for pair in columns)
    if isinstance(one, pd.Index):
        testing.assert_index_equal(one, other, exact=True, check_exact=True)
        return getattr(one, "freq", None) == getattr(other, "freq", None) and one.names == other.names
    if isinstance(one, pd.api.extensions.ExtensionArray):
        testing.assert_extension_array_equal(one, other, check_exact=True)
        return one.dtype == other.dtype
    if one is pd.NaT or one is pd.NA:
        return one is other
    facts = ("unit", "tz", "fold", "freq", "closed")
    return one == other and all(getattr(one, fact, 0) == getattr(other, fact, 0) for fact in facts)


def is_same_column(one: Any, other: Any) -> bool:
    """Of objects, each is of the same type: ``None``, ``nan``, ``NaT`` and ``NA`` are four ways to say that one is missing."""
    return one.dtype == other.dtype and (one.dtype != object or [*map(type, one.array)] == [*map(type, other.array)])


def is_same_table(one: Any, other: Any) -> bool:
    import pyarrow as pa

    if type(one) is not type(other) or not one.equals(other):
        return False
    if isinstance(one, pa.Schema):
        return one.equals(other, check_metadata=True)
    if isinstance(one, pa.Table | pa.RecordBatch):
        return one.schema.equals(other.schema, check_metadata=True)
    return one.type == other.type


def is_same_tensor(one: Any, other: Any) -> bool:
    import torch

    if type(one) is not type(other):
        return False
    if not isinstance(one, torch.Tensor):
        return bool(one == other)
    mine, others = (bytes_of_tensor(each) for each in (one, other))
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.requires_grad == other.requires_grad
        and mine == others
        and (one.grad is None) == (other.grad is None)
        and (one.grad is None or torch.equal(one.grad, other.grad))
    )


def bytes_of_tensor(tensor: Any) -> bytes:
    import torch

    values = tensor.detach().resolve_conj().contiguous()
    return values.reshape(-1).view(torch.uint8).numpy().tobytes() if values.numel() else b""
