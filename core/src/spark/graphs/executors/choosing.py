"""Which executor is meant? An object, the name of one, with options, or a name that the settings give a meaning."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Final

from spark.errors import GraphDefinitionError, PluginNotFoundError
from spark.graphs.checkpoint.configuration.files import Table, settings_files
from spark.graphs.checkpoint.configuration.plugin_options import completed, plugin_options
from spark.graphs.executors.contract import NodePlace
from spark.wording import kind_of

VARIABLE: Final = "SPARK_EXECUTOR_"
"""What environment variables begin with that say what a name means: ``SPARK_EXECUTOR_PARSING=process``."""
_LOCK = Lock()
_SHARED: Final[dict[str, NodePlace]] = {}
"""What was chosen by name: one object for the same name and options in the whole process."""


def chosen_place(given: Any, *, where: str) -> NodePlace:
    """Where nodes run that were given ``executor=``.

    :param given: a ``NodePlace``; a name, of a plugin's or in the settings; or ``{name: {option: value}}``.
    :param where: whose executor it is, for messages.
    :raises GraphDefinitionError: it is none of these, or the options don't fit.
    :raises PluginError: nothing has the name.
    """
    if isinstance(given, NodePlace):
        return given
    if not isinstance(given, str | Mapping) or not given:
        hint = " Add () to make one." if isinstance(given, type) else ""
        raise GraphDefinitionError(
            f"The executor= of {where} is {kind_of(given)}. Give the name of an installed executor, such as 'threads', "
            f"{{name: {{option: value}}}}, or an object of spark.graphs.executors.{hint}"
        )
    place = f"The executor= of {where}"
    files = list(settings_files(Path.cwd()))
    if isinstance(given, str):
        given, place = _meaning(given, [file.executors for file in files], place)
    return _shared(completed(given, plugin_options(files)), place)


def close_executors() -> None:
    """Close all executors of this process that were chosen by name. The next run that needs one opens it anew."""
    with _LOCK:
        closing = [*_SHARED.values()]
        _SHARED.clear()
    for place in closing:
        place.close()


def _meaning(name: str, tables: list[Table], place: str) -> tuple[Any, str]:
    """What a name stands for in the settings, and where that is said; the name itself, if nowhere."""
    variable = f"{VARIABLE}{name.upper().replace('-', '_')}"
    if os.environ.get(variable):
        return os.environ[variable], variable
    for table in tables:
        if name in table.values:
            return table.values[name], table.place(name)
    return name, place


def _shared(given: Any, place: str) -> NodePlace:
    key = json.dumps(given, sort_keys=True, default=repr)
    with _LOCK:
        found = _SHARED.get(key)
    if found is not None:
        return found
    made = _made(given, place)
    with _LOCK:
        return _SHARED.setdefault(key, made)


def _made(given: Any, place: str) -> NodePlace:
    from spark.hooks.options import chosen  # not needed by those who give an object

    try:
        return chosen("executor", given, base=NodePlace, place=place)
    except PluginNotFoundError as error:
        if "pip install" in str(error):  # the cure comes last, so that its command can be copied
            raise
        raise PluginNotFoundError(
            f"{str(error).rstrip()} To give a name of your own a meaning, set it in spark.toml, table [executors], for instance "
            'parsing = "process".'
        ) from error.__cause__


def _forget_all() -> None:
    """This process was forked: the workers are the other one's, and perhaps the thread that holds the lock."""
    global _LOCK
    _LOCK = Lock()
    _SHARED.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
