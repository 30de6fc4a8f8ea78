"""What this distribution adds to spark-graphs."""

from __future__ import annotations

from spark.hooks import BackendSpec, hookimpl


@hookimpl
def spark_backends() -> list[BackendSpec]:
    return [
        BackendSpec(
            name="file",
            target="spark_backend_file:FileCheckpointBackend",
            schemes=("file", "local", "fsspec", "gs", "gcs", "az", "abfs", "abfss", "sftp", "ssh"),
            class_names=("FileCheckpointBackend",),
            summary="Checkpoints in a folder, on a disk or behind fsspec.",
        )
    ]
