"""Which configuration is in force? Arguments, the environment and files are merged, and each value says where it came from.

Only ``CheckpointConfig.load`` imports this module: pydantic takes longer to import than the engine.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from spark.errors import GraphDefinitionError, PluginError, PluginWarning
from spark.graphs.checkpoint.configuration.backend_options import checked_backend
from spark.graphs.checkpoint.configuration.choosing import CHOSEN, all_of, choose
from spark.graphs.checkpoint.configuration.errors import explained, misplaced
from spark.graphs.checkpoint.configuration.files import Table, settings_files
from spark.graphs.checkpoint.configuration.plugin_options import (
    PluginOptions,
    completed,
    configured_observers,
    plugin_options,
    register_own,
)
from spark.graphs.checkpoint.configuration.settings import STORE, CheckpointSettings
from spark.graphs.checkpoint.configuration.store import opened_store
from spark.graphs.checkpoint.encoding.choosing import ENCODING
from spark.graphs.checkpoint.observers.choosing import name_of, names_of
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.url_options import split_options
from spark.wording import did_you_mean, shown_name

VARIABLES: Final = {"SPARK_CHECKPOINT_URL": "url", "SPARK_CHECKPOINT_FORMAT": "format"}
"""Environment variable to the setting that it has."""


def values_in_force(overrides: Mapping[str, Any], *, known: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The arguments of a ``CheckpointConfig``, and the place where each argument that it knows came from.

    :raises GraphDefinitionError: something is unknown or wrong, or a file can't be read.
    :raises PluginError: the chosen store, or something else that is named, can't be used.
    """
    known = list(known)
    _check_names(overrides, known)
    files = list(settings_files(_working_directory()))
    given, places = _merged([*_variables(os.environ), *(file.checkpoint for file in files)])
    register_own(given.get("plugins"), place=places.get("plugins", ""))
    if isinstance(overrides.get("backend"), CheckpointBackend):  # which has its own
        given = {name: value for name, value in given.items() if name not in ENCODING}
    sources = {name: places[name] if name in given else "default" for name in known}
    sources |= dict.fromkeys(overrides, "argument")
    tables = plugin_options(files)
    settings, values = _checked(given, overrides, places, sources, tables)
    values |= {name: value for name, value in overrides.items() if name not in values}
    values = {**settings.arguments(), **values}
    if isinstance(overrides.get("backend"), str) and tables:
        values |= _store(overrides["backend"], {}, values, "CheckpointConfig.load(backend=…)", tables)
    elif settings.store is not None and "backend" not in overrides:
        sources["backend"] = place = places.get("url") or places["backend"]
        values |= _store(settings.store, settings.options, values, place, tables)
    return values, sources


def store_in_force(*, create: bool = True) -> CheckpointBackend | None:
    """The store, for those who look at what is in it; None where none is chosen.

    What says how checkpoints are written and is not installed, or can't be used, is left out, with a ``PluginWarning``.

    :param create: see ``open_backend``.
    :raises GraphDefinitionError: something is unknown or wrong, or a file can't be read.
    :raises PluginError: the chosen store can't be used.
    """
    files = list(settings_files(_working_directory()))
    given, places = _merged([*_variables(os.environ), *(file.checkpoint for file in files)])
    with _left_out("the project's own plugins"):
        register_own(given.get("plugins"), place=places.get("plugins", ""))
    settings = _validated(given, places)
    if settings.store is None:
        return None
    place = places.get("url") or places["backend"]
    try:
        store, in_url = split_options(settings.store)
    except ValueError:
        return opened_store(settings.store, {}, place=place)  # which says what is wrong with the URL
    said, tables = in_url | settings.options | given, plugin_options(files)
    encoding = {}
    for name in ENCODING:
        with _left_out(f"the {name} of the settings"):
            if said.get(name) is not None:
                encoding[name] = CHOSEN[name](completed(said[name], tables), place=places.get(name, place))
    options = {name: value for name, value in settings.options.items() if name not in ENCODING}
    beside = {name: value for name, value in in_url.items() if name not in {*ENCODING, *options}} | encoding
    if not create:
        options.pop("create", None)
        beside["create"] = False
    return opened_store(
        checked_backend(store, options, encoding=beside, place=place, tables=tables), beside, place=place
    )


@contextmanager
def _left_out(what: str) -> Iterator[None]:
    """Within it, what can't be found or used is warned of."""
    try:
        yield
    except (GraphDefinitionError, PluginError) as error:
        warnings.warn(f"Checkpoints that need {what} can't be loaded. {error}", PluginWarning, stacklevel=2)


def _checked(
    given: Mapping[str, Any],
    overrides: Mapping[str, Any],
    places: Mapping[str, str],
    sources: dict[str, str],
    tables: PluginOptions,
) -> tuple[CheckpointSettings, dict[str, Any]]:
    """The settings, and what was chosen by name, as objects; all mistakes are reported together."""
    named = {name: completed(value, tables) for name, value in {**given, **overrides}.items() if name in CHOSEN}
    for name, value in _completed_in_url(overrides.get("backend") or given.get("url"), tables).items():
        if named.setdefault(name, value) is value:
            sources[name] = sources["backend"] if "backend" in overrides else places["url"]

    def place(name: str) -> str:
        return sources[name] if sources[name] != "argument" else f"CheckpointConfig.load({name}=…)"

    calls: list[Callable[[], Any]] = [
        partial(_validated, given, places),
        partial(choose, named, place),
        partial(configured_observers, tables, besides=set(names_of(named.get("handler")))),
    ]
    settings, values, observers = all_of(calls)
    handlers = values.get("handler", ())
    if observers:
        values["handler"] = (*handlers, *observers)
        sources["handler"] = " + ".join(
            [*([sources["handler"]] if handlers else []), *(tables[name_of(each)].where for each in observers)]
        )
    return settings, values


def _completed_in_url(store: Any, tables: PluginOptions) -> dict[str, Any]:
    """What the query of a URL chooses by a name for which there is a table, with the options of that table."""
    try:
        chosen = split_options(store)[1] if isinstance(store, str) else {}
    except ValueError:  # refused where the store is opened
        return {}
    whole = {name: completed(value, tables) for name, value in chosen.items() if name in ENCODING}
    return {name: value for name, value in whole.items() if value != chosen[name]}


def _store(
    store: str, options: Mapping[str, Any], values: Mapping[str, Any], place: str, tables: PluginOptions
) -> dict[str, Any]:
    """The arguments for the store; when there are options, it is opened with them, and with what was said of its format."""
    options = {name: completed(value, tables) if name in ENCODING else value for name, value in options.items()}
    encoding = {name: values[name] for name in ENCODING if values.get(name) is not None}
    backend = checked_backend(store, options, encoding=encoding, place=place, tables=tables)
    return {"backend": backend} if isinstance(backend, str) else {"backend": backend, **dict.fromkeys(ENCODING)}


def _check_names(overrides: Mapping[str, Any], known: list[str]) -> None:
    for name in overrides:
        if name not in known:
            hint = misplaced(name) or did_you_mean(name, known)
            raise GraphDefinitionError(f"CheckpointConfig.load({shown_name(name)}=…): there is no such setting.{hint}")


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise GraphDefinitionError(
            "Settings are looked for in the working directory and its parents, but the working directory can't be found: "
            f"{error.strerror}. Change to another."
        ) from error


def _variables(environ: Mapping[str, str]) -> Iterator[Table]:
    """The settings in environment variables; one that is empty is not set."""
    for variable, key in VARIABLES.items():
        if environ.get(variable):
            yield Table(variable, {key: environ[variable]}, is_variable=True)


def _merged(sources: Iterable[Table]) -> tuple[dict[str, Any], dict[str, str]]:
    """Each setting from the first table that has it, and the place where it was set."""
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for table in sources:
        _check_choice(table)
        is_chosen = not places.keys().isdisjoint(STORE)
        for key, value in table.values.items():
            if key not in values and not (is_chosen and key in STORE):
                values[key], places[key] = value, table.place(key)
    return values, places


def _check_choice(table: Table) -> None:
    if "url" in table.values and "backend" in table.values:
        raise GraphDefinitionError(
            f"{table.place('url')}: {table.place('backend')} is set, too. Set either url, or backend and options."
        )
    if "options" in table.values and not {"url", "backend"} & table.values.keys():
        raise GraphDefinitionError(
            f"{table.place('options')}: options belong to a store; set url or backend in the same place."
        )


def _validated(values: Mapping[str, Any], places: Mapping[str, str]) -> CheckpointSettings:
    try:
        return CheckpointSettings(**values)
    except ValidationError as error:
        # Not chained: its message shows the values, and they may be secrets.
        raise explained(error, places=places, model=CheckpointSettings) from None
