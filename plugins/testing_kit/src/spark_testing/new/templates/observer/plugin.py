"""What this distribution adds to spark-graphs. It is read whenever plugins are looked for, so it imports nothing heavy."""

from __future__ import annotations

from spark.hooks import ObserverSpec, hookimpl


@hookimpl
def spark_observers() -> list[ObserverSpec]:
    return [
        ObserverSpec(
            name="example",
            target="spark_observer_example.observer:Example",
            options="spark_observer_example.observer:ExampleOptions",
            api_version=1,
            summary="Announces each checkpoint, and the end of each run, to a URL.",
        )
    ]
