"""What this distribution adds to spark-graphs. It is read whenever plugins are looked for, so it imports nothing heavy."""

from __future__ import annotations

from spark.hooks import TypesSpec, hookimpl


@hookimpl
def spark_types() -> list[TypesSpec]:
    return [
        TypesSpec(
            name="example",
            target="spark_types_example.types:ExampleTypes",
            modules=("packaging",),
            api_version=1,
            summary="Versions and wheel tags of the library packaging in checkpoints.",
        )
    ]
