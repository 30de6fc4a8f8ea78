"""What this distribution offers to spark-graphs."""

from spark.hooks import TypesSpec, hookimpl


@hookimpl
def spark_types() -> list[TypesSpec]:
    """One bundle for each library; each is loaded when a value of its library is saved or loaded."""
    return [
        TypesSpec(name=name, target=f"spark_types_arrays:{target}", modules=(name,), summary=summary)
        for name, target, summary in (
            ("numpy", "NumpyTypes", "NumPy arrays, masked arrays, scalars and dtypes."),
            ("pandas", "PandasTypes", "pandas frames, series, indexes and scalars."),
            ("pyarrow", "PyarrowTypes", "PyArrow tables, record batches, arrays and schemas."),
            ("torch", "TorchTypes", "PyTorch tensors on the CPU."),
        )
    ]
