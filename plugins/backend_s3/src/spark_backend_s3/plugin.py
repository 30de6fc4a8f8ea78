"""What this distribution adds to spark-graphs."""

from __future__ import annotations

from spark.hooks import BackendSpec, hookimpl


@hookimpl
def spark_backends() -> list[BackendSpec]:
    return [
        BackendSpec(
            name="s3",
            target="spark_backend_s3:S3CheckpointBackend",
            schemes=("s3",),
            class_names=("S3CheckpointBackend",),
            summary="Checkpoints in S3 and stores that speak its protocol, through s3fs.",
        )
    ]
