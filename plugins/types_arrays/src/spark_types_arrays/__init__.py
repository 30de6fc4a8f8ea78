"""How checkpoints save NumPy arrays, pandas frames, PyArrow tables and PyTorch tensors: exactly, and without pickle.

Importing this imports none of these libraries. Each bundle imports its own when a value of it is saved or loaded.
"""

from spark_types_arrays.bundles import NumpyTypes, PandasTypes, PyarrowTypes, TorchTypes

__all__ = ["NumpyTypes", "PandasTypes", "PyarrowTypes", "TorchTypes"]
