"""What Ray raises, as failed attempts that say what happened and what to do."""

from __future__ import annotations

from typing import Final

from spark.errors import ExecutorError, WorkerLostError

IMPORT_HINT: Final = (
    "On Ray, give RayExecutor(runtime_env={'working_dir': '.'}), or 'py_modules' or 'pip', or install it on all machines. Nodes "
    "that are defined in a script or notebook travel with code='cloudpickle'."
)
_NEXT: Final = "This attempt has failed; the node's retry= decides whether there is another one."


def failure_of(error: Exception, key: str, attempt: int) -> ExecutorError:
    """What to raise for a step that has no result."""
    from ray import exceptions

    step = f"node {key!r} (attempt {attempt})"
    text = _first_lines(error)
    if isinstance(error, exceptions.OutOfMemoryError):
        return WorkerLostError(
            f"Ray killed the worker that executed {step}, because its machine ran out of memory. {_NEXT} To let fewer steps run "
            f"there at a time, give the node memory= or more num_cpus=. Ray says: {text}"
        )
    if isinstance(error, exceptions.ObjectStoreFullError | exceptions.OutOfDiskError):
        return ExecutorError(
            f"The result of {step} does not fit into Ray's object store. Return less, for instance the name of a file, or "
            f"start Ray with a larger object_store_memory. Ray says: {text}"
        )
    if isinstance(error, exceptions.RuntimeEnvSetupError):
        return ExecutorError(f"Ray could not set up the runtime_env of {step}: {text}")
    if isinstance(error, exceptions.TaskUnschedulableError | exceptions.ActorUnschedulableError):
        return ExecutorError(f"Ray has no place for {step}: {text} Ask for less, or for what the cluster has.")
    if isinstance(error, exceptions.TaskCancelledError):
        return ExecutorError(f"Somebody cancelled {step} in Ray, and not its run. {_NEXT}")
    if isinstance(error, exceptions.RayTaskError):
        return ExecutorError(
            f"A Ray worker could not execute {step}: {text} Workers need spark-graphs and spark-graphs-executor-ray in "
            f"the release that runs here. {IMPORT_HINT}"
        )
    if isinstance(error, exceptions.RayError):
        return WorkerLostError(
            f"The Ray worker that executed {step} is gone. {_NEXT} Ray says: {type(error).__name__}: {text}"
        )
    return ExecutorError(f"The result of {step} can't be read: {type(error).__name__}: {text}")


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:8])
    return text if len(text) < 1_000 else f"{text[:1_000]} ..."
