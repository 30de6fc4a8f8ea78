"""What this distribution adds to spark-graphs. It is read whenever plugins are looked for, so it imports nothing heavy."""

from __future__ import annotations

from spark.hooks import RetentionSpec, hookimpl


@hookimpl
def spark_retentions() -> list[RetentionSpec]:
    return [
        RetentionSpec(
            name="example",
            target="spark_retention_example.retention:Example",
            api_version=1,
            summary="Keeps all recent checkpoints, then one an hour, then one a day.",
        )
    ]
