"""Stop what Ray executes. Once Ray is shut down there is nothing to stop, and its own functions would start another Ray."""

from __future__ import annotations

from contextlib import suppress
from typing import Any


def kill(actor: Any) -> None:
    """End an actor, if it lives."""
    import ray

    if ray.is_initialized():
        with suppress(Exception):  # it is dead, or Ray is
            ray.kill(actor)


def cancel(reference: Any, *, force: bool) -> None:
    """Cancel a task, or the coroutine of an actor.

    :param force: kill the worker that executes it.
    """
    import ray

    if ray.is_initialized():
        with suppress(Exception):  # Ray is shut down
            ray.cancel(reference, force=force)
