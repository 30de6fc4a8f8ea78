"""The store that a configuration means, and how checkpoints are written there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark.errors import GraphDefinitionError, PluginError, SparkError
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.memory import InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage.opening import open_backend


def opened_store(backend: Any, encoding: Mapping[str, Any], *, place: str) -> CheckpointBackend:
    """The backend that was given as an object, by its URL or name, or as None for a new one in memory.

    :param encoding: ``format``, ``serializer`` and ``codec``, where they were chosen. A backend that exists has its own.
    :param place: where it was given, for messages.
    :raises GraphDefinitionError: it is none of these, or the URL is not one of its backend's.
    :raises PluginError: no plugin provides it.
    """
    if isinstance(backend, CheckpointBackend):
        return backend
    if backend is None:
        return InMemoryCheckpointBackend(**encoding)
    if isinstance(backend, str):
        return _opened(backend, encoding, place)
    raise GraphDefinitionError(f"{place}: give a CheckpointBackend, its URL or name, or None for one in memory.")


def _opened(backend: str, encoding: Mapping[str, Any], place: str) -> CheckpointBackend:
    from spark.hooks import redact  # not needed by those who give a backend themselves

    try:
        return open_backend(backend, **encoding)
    except PluginError as error:
        raise type(error)(f"{place}: {error}") from error
    except Exception as error:
        if isinstance(error, SparkError) and not isinstance(error, ValueError):
            raise
        raise GraphDefinitionError(f"{place}: {redact(backend)!r} is not a store: {error}") from error
