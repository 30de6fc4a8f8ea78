"""The tables ``[plugins.NAME]``: they configure observers, and complete what is chosen by name elsewhere, or was recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from spark.graphs.checkpoint.configuration.choosing import all_of
from spark.graphs.checkpoint.configuration.files import SettingsFile, Table
from spark.graphs.checkpoint.observers.choosing import chosen_observer
from spark.graphs.checkpoint.observers.handlers import CheckpointHandler
from spark.hooks.choices import hidden_options

PluginOptions = Mapping[str, Table]
"""Name of a plugin to its options."""

_COMBINED: Final = ("any", "all")


def plugin_options(files: Iterable[SettingsFile]) -> dict[str, Table]:
    """The tables of all files: of each option, the first that gives it."""
    merged: dict[str, Table] = {}
    for file in files:
        for name, table in file.plugins.items():
            earlier = merged.get(name)
            merged[name] = table if earlier is None else Table(earlier.where, table.values | earlier.values)
    return merged


def register_own(names: Any, *, place: str) -> None:
    """Register the modules that the setting ``plugins`` names, so that what they provide can be chosen.

    What is no list of names is refused elsewhere.

    :raises PluginError: one of them can't be used.
    """
    if isinstance(names, list) and names and all(isinstance(name, str) and name for name in names):
        from spark.hooks.registration import register_modules

        register_modules(names, place=place)


def configured_observers(tables: PluginOptions, *, besides: Collection[str] = ()) -> tuple[CheckpointHandler, ...]:
    """The observers that tables configure; what other tables say is checked.

    :param besides: observers that were chosen elsewhere, which their tables complete.
    :raises GraphDefinitionError: options don't fit; names everything that is wrong.
    :raises PluginError: a name is not that of anything installed.
    """
    made = all_of([partial(_configured, name, table) for name, table in tables.items() if name not in besides])
    return tuple(observer for observer in made if observer is not None)


def completed(given: Any, tables: PluginOptions, *, only_secrets: bool = False) -> Any:
    """What was chosen, with the options that the tables have besides: ``"webhook"`` becomes ``{"webhook": {"url": …}}``.

    :param only_secrets: only ``***``, which stands for a secret that was not recorded, gives way to what the table has.
    """
    if isinstance(given, str):
        return {given: tables[given].values} if given in tables and not only_secrets else given
    if isinstance(given, Mapping):
        return {name: _completed(name, value, tables, only_secrets) for name, value in given.items()}
    if isinstance(given, Sequence):
        return [completed(each, tables, only_secrets=only_secrets) for each in given]
    return given


def _configured(name: str, table: Table) -> CheckpointHandler | None:
    from spark.hooks.options import check_options
    from spark.hooks.registry import kinds_of

    kinds = kinds_of(name)
    if "observer" in kinds or not kinds:  # what is not installed is refused there, unless it is switched off
        return chosen_observer(name, table.values, place=table.where)
    for kind in kinds:
        check_options(kind, name, table.values, place=table.where)
    return None


def _completed(name: Any, value: Any, tables: PluginOptions, only_secrets: bool) -> Any:
    if name in _COMBINED and isinstance(value, list | tuple):
        return [completed(each, tables, only_secrets=only_secrets) for each in value]
    if not isinstance(value, Mapping) or name not in tables:
        return value
    if not only_secrets:
        return {**tables[name].values, **value}
    return _revealed(value, tables[name].values)


def _revealed(options: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The options with what is known in place of each secret; of a table within them, only of its secrets."""
    found: dict[str, Any] = dict(options)
    for name in hidden_options(options):
        if name in known:
            both = isinstance(options[name], Mapping) and isinstance(known[name], Mapping)
            found[name] = _revealed(options[name], known[name]) if both else known[name]
    return found
