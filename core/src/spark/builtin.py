"""The core's own plugin: what it provides arrives by the same hooks as everybody's.

It is outside of ``spark.graphs``, so that asking which plugins are installed loads no engine.
"""

from __future__ import annotations

from spark.hooks import BackendSpec, ExecutorSpec, FormatSpec, RetentionSpec, TriggerSpec, hookimpl


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
def spark_formats() -> list[FormatSpec]:
    """The JSON format, the default of every backend."""
    return [
        FormatSpec(
            name="json",
            target="spark.graphs.checkpoint.encoding.json_format:JsonFormat",
            safe_to_load=True,
            summary="Readable text, exact round-trips, safe to load.",
        )
    ]


@hookimpl
def spark_triggers() -> list[TriggerSpec]:
    """The triggers that the core has."""
    return [
        TriggerSpec(name=name, target=f"spark.graphs.checkpoint:{target}", summary=summary)
        for name, target, summary in (
            ("every_iterations", "EveryIterations", "After every N node executions."),
            ("every_seconds", "EverySeconds", "Whenever a given number of seconds has passed."),
            ("after_node", "AfterNode", "After each execution of certain nodes."),
            ("at_iterations", "AtIterations", "After certain node executions."),
            ("when_improved", "WhenImproved", "When a metric is better than in all earlier checkpoints."),
            ("on_signal", "OnSignal", "After a signal, before the process is preempted."),
            (
                "within_overhead",
                "WithinOverhead",
                "As often as checkpoints take no more than a share of the run's time.",
            ),
        )
    ]


@hookimpl
def spark_retentions() -> list[RetentionSpec]:
    """The retention rules that the core has."""
    return [
        RetentionSpec(name=name, target=f"spark.graphs.checkpoint:{target}", summary=summary)
        for name, target, summary in (
            ("keep_last", "KeepLast", "The newest checkpoints."),
            ("keep_for", "KeepFor", "Checkpoints that are younger than a span of time."),
            ("keep_all", "KeepAll", "All checkpoints."),
            ("keep_every", "KeepEvery", "One of every N checkpoints."),
            ("keep_daily", "KeepDaily", "The last checkpoint of each day."),
            ("keep_best", "KeepBest", "The best checkpoints by a metric."),
        )
    ]


@hookimpl
def spark_executors() -> list[ExecutorSpec]:
    """The event loop and threads."""
    return [
        ExecutorSpec(
            name="loop",
            target="spark.graphs.executors:LoopExecutor",
            summary="In the event loop of the run, for plain nodes that are quick.",
        ),
        ExecutorSpec(
            name="threads",
            target="spark.graphs.executors:ThreadExecutor",
            summary="In a thread pool of its own, whose size you choose.",
        ),
    ]
