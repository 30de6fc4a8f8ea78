"""The bundles of types, one for each library, which it imports only when it is asked for its types."""

from __future__ import annotations

from collections.abc import Iterable

from spark.graphs.checkpoint import SavedType, Types


class NumpyTypes(Types):
    """NumPy arrays, masked arrays, scalars and dtypes."""

    def types(self) -> Iterable[SavedType]:
        from spark_types_arrays.numpy_types import TYPES

        return TYPES


class PandasTypes(Types):
    """pandas frames, series, indexes and scalars."""

    def types(self) -> Iterable[SavedType]:
        from spark_types_arrays.pandas_types import TYPES

        return TYPES


class PyarrowTypes(Types):
    """PyArrow tables, record batches, arrays and schemas."""

    def types(self) -> Iterable[SavedType]:
        from spark_types_arrays.pyarrow_types import TYPES

        return TYPES


class TorchTypes(Types):
    """PyTorch tensors on the CPU."""

    def types(self) -> Iterable[SavedType]:
        from spark_types_arrays.torch_types import TYPES

        return TYPES
