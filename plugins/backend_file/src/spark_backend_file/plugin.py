"""What this distribution adds to spark-graphs."""

from __future__ import annotations

from spark.hooks import BackendSpec, hookimpl


@hookimpl
def spark_backends() -> list[BackendSpec]:
    return [
        BackendSpec(
            name="file",
            target="spark_backend_file:FileCheckpointBackend",
            schemes=("file",),
            class_names=("FileCheckpointBackend",),
        )
    ]
