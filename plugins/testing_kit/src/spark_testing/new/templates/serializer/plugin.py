"""What this distribution adds to spark-graphs. It is read whenever plugins are looked for, so it imports nothing heavy."""

from __future__ import annotations

from spark.hooks import SerializerSpec, hookimpl


@hookimpl
def spark_serializers() -> list[SerializerSpec]:
    return [
        SerializerSpec(
            name="example",
            target="spark_serializer_example.serializer:ExampleSerializer",
            api_version=1,
            summary="Compiled regular expressions in checkpoints.",
        )
    ]
