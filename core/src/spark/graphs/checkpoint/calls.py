"""Calling a backend: what it raises beyond our own errors becomes a ``BackendError`` that says what was tried."""

from __future__ import annotations

from typing import Final, Protocol

from spark.errors import BackendError, CheckpointNotFoundError, SparkError

ATTEMPTS: Final = 100
"""How often a backend may contradict itself, as it seems, before it is considered broken; others may be writing and deleting."""


class Named(Protocol):
    """A backend, as messages see it."""

    @property
    def name(self) -> str: ...


class wrapped:
    """Turns what a backend raises beyond our own errors into a ``BackendError``."""

    __slots__ = ("_backend", "_doing", "_what")

    def __init__(self, backend: Named, doing: str, what: str = "") -> None:
        self._backend = backend
        self._doing = doing
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, SparkError):
            doing = f"{self._doing}{self._what!r}" if self._what else self._doing
            raise failure(self._backend, doing, error) from error


def failure(backend: Named, doing: str, error: Exception) -> SparkError:
    """What to raise for what a backend raised: our own errors as they are, any other as a ``BackendError``."""
    if isinstance(error, SparkError):
        return error
    return BackendError(f"The {backend.name} backend failed while {doing}: {type(error).__name__}: {error}")


def not_found(checkpoint_id: str, backend: Named) -> CheckpointNotFoundError:
    """The error for an id that nothing is stored under."""
    return CheckpointNotFoundError(
        f"The {backend.name} backend has no checkpoint {checkpoint_id!r}; it was never saved here, or was deleted. "
        "To see what there is: `spark checkpoints list`, or CheckpointManager.list_checkpoints()."
    )


def never_free(backend: Named, graph_id: str) -> BackendError:
    """The error for a backend that keeps saying that a sequence is taken."""
    return BackendError(
        f"The {backend.name} backend offered {ATTEMPTS} sequences of graph {graph_id!r} that were all taken; its "
        "next_sequence() and put() contradict each other. Report it to the author of the plugin."
    )
