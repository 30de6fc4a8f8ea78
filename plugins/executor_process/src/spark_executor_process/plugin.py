"""What this distribution offers to spark-graphs."""

from spark.hooks import ExecutorSpec, hookimpl


@hookimpl
def spark_executors() -> list[ExecutorSpec]:
    """Worker processes."""
    return [
        ExecutorSpec(
            name="process",
            target="spark_executor_process:ProcessExecutor",
            summary="Worker processes: all cores, timeouts that stop plain nodes, and crashes that cost one attempt.",
        )
    ]
