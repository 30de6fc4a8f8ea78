"""How checkpoints save NumPy arrays, pandas frames, PyArrow tables and PyTorch tensors: exactly, and without pickle.

Importing this imports none of these libraries: each bundle imports its own when a value of it is saved or loaded. The bundles are
imported when they are first used: Python imports this package to find out what the plugin provides.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_types_arrays.bundles import NumpyTypes as NumpyTypes
    from spark_types_arrays.bundles import PandasTypes as PandasTypes
    from spark_types_arrays.bundles import PyarrowTypes as PyarrowTypes
    from spark_types_arrays.bundles import TorchTypes as TorchTypes

__all__ = ["NumpyTypes", "PandasTypes", "PyarrowTypes", "TorchTypes"]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from spark_types_arrays import bundles

        value = globals()[name] = getattr(bundles, name)
        return value
