"""What this distribution offers to spark-graphs."""

from spark.hooks import ExecutorSpec, hookimpl


@hookimpl
def spark_executors() -> list[ExecutorSpec]:
    """Ray."""
    return [
        ExecutorSpec(
            name="ray",
            target="spark_executor_ray:RayExecutor",
            summary="As tasks and actors of Ray, on this machine or a cluster.",
        )
    ]
