"""Every hook that a plugin can implement.

A plugin is a small module named by an entry point of the group ``spark.graphs``. Each function in it that is marked
with ``@hookimpl`` implements the hook of its name; it declares those of the hook's arguments that it wants, in any
order.

The four providing hooks are called once per process, when plugins are first needed, and are plain functions. The events
may be plain or ``async``: plain ones are called in a thread. The run waits for them one by one, ten seconds at most for
each, and what one of them raises is logged and changes nothing.
"""

from __future__ import annotations

from typing import Any, Final

import pluggy

from spark.hooks.plugin_specs import BackendSpec, ExecutorSpec, PluginSpec, SerializerSpec, TriggerSpec

PROJECT: Final = "spark_graphs"
"""What pluggy calls us."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

PROVIDING: Final[dict[str, type[PluginSpec]]] = {
    "spark_backends": BackendSpec,
    "spark_serializers": SerializerSpec,
    "spark_triggers": TriggerSpec,
    "spark_executors": ExecutorSpec,
}
"""The hooks that provide something, and what each returns a list of."""

EVENTS: Final = (
    "spark_checkpoint_created",
    "spark_checkpoint_restored",
    "spark_checkpoint_deleted",
    "spark_checkpoint_failed",
)
"""The hooks that are told something."""


@hookspec
def spark_backends() -> list[BackendSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``BackendSpec``, one for each storage backend that the plugin brings.
    """


@hookspec
def spark_serializers() -> list[SerializerSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``SerializerSpec``, one for each format that the plugin brings.
    """


@hookspec
def spark_triggers() -> list[TriggerSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``TriggerSpec``, one for each trigger that the plugin brings.
    """


@hookspec
def spark_executors() -> list[ExecutorSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``ExecutorSpec``, one for each executor that the plugin brings.
    """


@hookspec
def spark_checkpoint_created(checkpoint: Any, info: Any) -> None:
    """Called after a checkpoint is durable, before retention deletes older ones.

    ``checkpoint`` is the ``GraphCheckpoint``, not to be changed; ``info`` is its ``CheckpointInfo``. What the function
    returns is ignored.
    """


@hookspec
def spark_checkpoint_restored(checkpoint: Any) -> None:
    """Called once when a run continues from a checkpoint, before its first node executes.

    ``checkpoint`` is the ``GraphCheckpoint``, not to be changed. What the function returns is ignored.
    """


@hookspec
def spark_checkpoint_deleted(checkpoint_id: str, graph_id: str) -> None:
    """Called after a checkpoint is gone from its store, by retention or by hand.

    What the function returns is ignored.
    """


@hookspec
def spark_checkpoint_failed(graph_id: str, error: BaseException) -> None:
    """Called when a checkpoint could not be made; ``error`` is what the run is about to see.

    What the function returns is ignored.
    """
