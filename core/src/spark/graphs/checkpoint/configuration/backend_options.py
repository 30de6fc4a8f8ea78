"""Do these options fit this backend? Checked for those from a file, which no type checker sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark.errors import GraphDefinitionError, PluginError, SparkError
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.opening import backend_class, open_backend
from spark.hooks.options import checked


def checked_backend(
    store: str, options: Mapping[str, Any], *, place: str, encoding: Mapping[str, Any] | None = None
) -> CheckpointBackend | str:
    """The store as ``CheckpointConfig`` takes it: the URL or name as given, or opened when there are options.

    :param store: a URL, or the name of a backend.
    :param place: where it was set, for messages.
    :param encoding: ``format``, ``serializer`` and ``codec``, checked; only used when there are options.
    :raises GraphDefinitionError: an option is unknown, has the wrong type, or is rejected.
    :raises PluginError: no plugin provides this store.
    """
    try:
        kind = backend_class(store)
    except PluginError as error:
        raise type(error)(f"{place}: {error}") from error
    if not options:
        return store
    at = f"{place.rpartition(' ')[0]} options"
    for twice in options.keys() & (encoding or {}).keys():
        raise GraphDefinitionError(f"{at}.{twice}: {twice} is set beside the options, too. Set one of the two.")
    arguments = checked(options, kind, what=f"{kind.name} backend", place=at, is_complete=False)
    return _opened(store, {**arguments, **(encoding or {})}, at)


def _opened(store: str, options: Mapping[str, Any], at: str) -> CheckpointBackend:
    try:
        return open_backend(store, **options)
    except RecursionError:  # not chained: its traceback has a thousand lines
        raise GraphDefinitionError(f"{at}: the store rejects them: they are nested too deeply") from None
    except Exception as error:
        if isinstance(error, SparkError) and not isinstance(error, ValueError):
            raise type(error)(f"{at}: {error}") from error
        raise GraphDefinitionError(f"{at}: the store rejects them: {error}") from error
