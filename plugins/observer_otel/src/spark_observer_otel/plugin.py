"""What this distribution offers to spark-graphs."""

from spark.hooks import ObserverSpec, hookimpl


@hookimpl
def spark_observers() -> list[ObserverSpec]:
    """Traces and metrics of runs."""
    return [
        ObserverSpec(
            name="otel",
            target="spark_observer_otel:OpenTelemetryObserver",
            summary="OpenTelemetry: traces and metrics of runs, steps, durable calls and checkpoints.",
        )
    ]
