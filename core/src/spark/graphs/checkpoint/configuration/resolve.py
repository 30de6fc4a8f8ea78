"""Which configuration is in force? Arguments, the environment and files are merged, and each value says where it came from.

Only ``CheckpointConfig.load`` imports this module: pydantic takes longer to import than the engine.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.configuration.backend_options import checked_backend
from spark.graphs.checkpoint.configuration.errors import explained
from spark.graphs.checkpoint.configuration.files import Table, tables
from spark.graphs.checkpoint.configuration.settings import STORE, CheckpointSettings
from spark.wording import did_you_mean, shown_name

VARIABLE: Final = "SPARK_CHECKPOINT_URL"


def values_in_force(overrides: Mapping[str, Any], *, known: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The arguments of a ``CheckpointConfig``, and the place where each argument that it knows came from.

    :raises GraphDefinitionError: something is unknown or wrong, or a file can't be read.
    :raises PluginError: the chosen store can't be used.
    """
    known = list(known)
    _check_names(overrides, known)
    given, places = _merged(_sources(_working_directory(), os.environ))
    settings = _validated(given, places)
    values = settings.arguments()
    sources = {name: places.get(name, "default") for name in known}
    if settings.store is not None and "backend" not in overrides:
        sources["backend"] = place = places.get("url") or places["backend"]
        values["backend"] = checked_backend(settings.store, settings.options, place=place)
    return {**values, **overrides}, sources | dict.fromkeys(overrides, "argument")


def _check_names(overrides: Mapping[str, Any], known: list[str]) -> None:
    for name in overrides:
        if name not in known:
            raise GraphDefinitionError(
                f"CheckpointConfig.load({shown_name(name)}=…): there is no such setting.{did_you_mean(name, known)}"
            )


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise GraphDefinitionError(
            "Settings are looked for in the working directory and its parents, but the working directory can't be found: "
            f"{error.strerror}. Change to another."
        ) from error


def _sources(directory: Path, environ: Mapping[str, str]) -> Iterator[Table]:
    """The tables of settings, the one that wins first."""
    if environ.get(VARIABLE):
        yield Table(VARIABLE, {"url": environ[VARIABLE]}, is_variable=True)
    yield from tables(directory)


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
