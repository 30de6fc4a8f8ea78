"""What this distribution adds to spark-graphs. It is read whenever plugins are looked for, so it imports nothing heavy."""

from __future__ import annotations

from spark.hooks import BackendSpec, hookimpl


@hookimpl
def spark_backends() -> list[BackendSpec]:
    return [
        BackendSpec(
            name="example",
            target="spark_backend_example.backend:ExampleCheckpointBackend",
            schemes=("example",),
            class_names=("ExampleCheckpointBackend",),
            api_version=1,
            summary="Checkpoints in a folder of small files, one writer at a time.",
        )
    ]
