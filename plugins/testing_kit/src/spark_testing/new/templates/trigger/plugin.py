"""What this distribution adds to spark-graphs. It is read whenever plugins are looked for, so it imports nothing heavy."""

from __future__ import annotations

from spark.hooks import TriggerSpec, hookimpl


@hookimpl
def spark_triggers() -> list[TriggerSpec]:
    return [
        TriggerSpec(
            name="example",
            target="spark_trigger_example.trigger:Example",
            api_version=1,
            summary="A checkpoint whenever a given amount of dollars was spent since the last one.",
        )
    ]
