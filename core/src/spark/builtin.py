"""The core's own plugin: the memory backend and the JSON format arrive by the same hooks as everybody's.

It is outside of ``spark.graphs``, so that asking which plugins are installed loads no engine.
"""

from __future__ import annotations

from spark.hooks import BackendSpec, SerializerSpec, hookimpl


@hookimpl
def spark_backends() -> list[BackendSpec]:
    """The memory backend, for tests and as the default."""
    return [
        BackendSpec(
            name="memory",
            target="spark.graphs.checkpoint.storage.memory:InMemoryCheckpointBackend",
            schemes=("memory",),
            class_names=("InMemoryCheckpointBackend",),
            summary="Checkpoints in the memory of this process, lost when it ends.",
        )
    ]


@hookimpl
def spark_serializers() -> list[SerializerSpec]:
    """The JSON format, the default of every backend."""
    return [
        SerializerSpec(
            name="json",
            target="spark.graphs.checkpoint.encoding.json_format:JsonFormat",
            safe_to_load=True,
            summary="Readable text, exact round-trips, safe to load.",
        )
    ]
