"""Do these options fit this backend? Checked for those from a file, which no type checker sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark.errors import GraphDefinitionError, PluginError, SparkError
from spark.graphs.checkpoint.configuration.plugin_options import PluginOptions
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.opening import backend_class, open_backend
from spark.hooks.options import checked, parameters
from spark.hooks.registry import name_of, options_model_of


def checked_backend(
    store: str,
    options: Mapping[str, Any],
    *,
    place: str,
    encoding: Mapping[str, Any],
    tables: PluginOptions,
) -> CheckpointBackend | str:
    """The store as ``CheckpointConfig`` takes it: the URL or name as given, or opened when there are options.

    :param store: a URL, or the name of a backend.
    :param place: where it was set, for messages.
    :param encoding: ``format``, ``serializer`` and ``codec``, checked; only used when there are options.
    :param tables: options of plugins, which complete those of the backend.
    :raises GraphDefinitionError: an option is unknown, has the wrong type, or is rejected.
    :raises PluginError: no plugin provides this store.
    """
    try:
        kind = backend_class(store)
    except PluginError as error:
        raise type(error)(f"{place}: {error}") from error
    name = name_of("backend", kind, likely=store) or kind.name if options or tables else ""
    table = tables.get(name)
    if not options and table is None:
        return store
    at = f"{place.rpartition(' ')[0]} options" if options or table is None else table.where
    for twice in options.keys() & encoding.keys():
        raise GraphDefinitionError(f"{at}.{twice}: {twice} is set beside the options, too. Set one of the two.")
    arguments = _arguments({**(table.values if table else {}), **options}, kind, name, at)
    return _opened(store, {**arguments, **encoding}, at)


def _arguments(options: Mapping[str, Any], kind: type[CheckpointBackend], name: str, at: str) -> dict[str, Any]:
    """The options, checked, as the backend declares them."""
    model = options_model_of(("backend", name))
    common = parameters(CheckpointBackend) if model is not None else {}  # which a model of the plugin need not know
    own = {key: value for key, value in options.items() if key not in common}
    return {**options, **checked(own, kind, model=model, what=f"{name} backend", place=at, is_complete=False)}


def _opened(store: str, options: Mapping[str, Any], at: str) -> CheckpointBackend:
    try:
        return open_backend(store, **options)
    except RecursionError:  # not chained: its traceback has a thousand lines
        raise GraphDefinitionError(f"{at}: the store rejects them: they are nested too deeply") from None
    except Exception as error:
        if isinstance(error, SparkError) and not isinstance(error, ValueError):
            raise type(error)(f"{at}: {error}") from error
        raise GraphDefinitionError(f"{at}: the store rejects them: {error}") from error
