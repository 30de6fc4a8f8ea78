"""Which configuration is in force? Arguments, the environment and files come together, and each value says where it came from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.configuration.backend_options import checked_backend
from spark.graphs.checkpoint.configuration.errors import did_you_mean, shown
from spark.graphs.checkpoint.configuration.settings import settings_in_force


def values_in_force(overrides: Mapping[str, Any], *, known: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The arguments of a ``CheckpointConfig``, and the place where each argument that it knows came from.

    :raises GraphDefinitionError: something is unknown or wrong.
    :raises PluginError: the chosen store can't be used.
    """
    known = list(known)
    _check_names(overrides, known)
    found = settings_in_force(_working_directory(), os.environ)
    values = {**found.arguments(), **overrides}
    sources = {name: found.places.get(name, "default") for name in known}
    if found.store is not None and "backend" not in overrides:
        sources["backend"] = found.store_place
        values["backend"] = checked_backend(found.store, found.settings.options, place=found.store_place)
    return values, sources | dict.fromkeys(overrides, "argument")


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise GraphDefinitionError(
            f"Settings are looked for upwards from the working directory, which can't be found: {error.strerror}. "
            "Change to another."
        ) from error


def _check_names(overrides: Mapping[str, Any], known: list[str]) -> None:
    for name in overrides:
        if name not in known:
            raise GraphDefinitionError(
                f"CheckpointConfig.load({shown(name)}=…): there is no such setting.{did_you_mean(name, known)}"
            )
