"""What this distribution adds to spark-graphs. It is read whenever plugins are looked for, so it imports nothing heavy."""

from __future__ import annotations

from spark.hooks import ExecutorSpec, hookimpl


@hookimpl
def spark_executors() -> list[ExecutorSpec]:
    return [
        ExecutorSpec(
            name="example",
            target="spark_executor_example.executor:ExampleExecutor",
            api_version=1,
            summary="Executes nodes in threads of its own, with nothing shared but pickled data.",
        )
    ]
