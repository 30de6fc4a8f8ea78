"""What a checkpoint records of how its graph was checkpointed, made again; and what of it is lost.

Secrets are not recorded. They come from the tables ``[plugins.NAME]``, which for observers win over what is recorded, so that
a secret goes nowhere but where the settings say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from spark.errors import GraphDefinitionError, PluginError, PluginNotFoundError
from spark.graphs.checkpoint.encoding.choosing import ENCODING
from spark.graphs.checkpoint.observers.choosing import chosen_observer
from spark.graphs.checkpoint.observers.handlers import CheckpointHandler, observer_class
from spark.graphs.checkpoint.policies.lookup import UnknownRuleError
from spark.graphs.checkpoint.policies.rules import Rule
from spark.graphs.values.loaded import class_name
from spark.hooks.choices import choice_of, hidden_options, is_hidden
from spark.wording import shortened

if TYPE_CHECKING:
    from spark.graphs.checkpoint.configuration.files import SettingsFile
    from spark.graphs.checkpoint.configuration.plugin_options import PluginOptions

Made = TypeVar("Made", bound=Rule)

_KINDS: Final = {
    "trigger": "trigger",
    "retention": "retention",
    "observer": "handlers",
    **{name: name for name in ENCODING},
}
"""Kind to where it is recorded."""


def find_own_plugins(data: Mapping[str, Any]) -> None:
    """If anything that was recorded by name is not installed, register the plugins that settings name.

    :raises GraphDefinitionError: a file of settings can't be used.
    :raises PluginError: a module can't be used.
    """
    if all(_is_installed(kind, name) for kind, recorded in _KINDS.items() for name in _names(data.get(recorded))):
        return
    from spark.graphs.checkpoint.configuration.files import PLUGINS
    from spark.graphs.checkpoint.configuration.plugin_options import register_own

    named = [file.checkpoint for file in _files() if PLUGINS in file.checkpoint.values]
    for table in named[:1]:
        register_own(table.values[PLUGINS], place=table.place(PLUGINS))


def handlers_to_data(handlers: Iterable[CheckpointHandler]) -> list[Any]:
    """Observers by name and options; of the user's own handlers, their classes."""
    choices = [(handler, choice_of(handler)) for handler in handlers]
    return [class_name(type(handler)) if choice is None else choice.to_data() for handler, choice in choices]


def rule_again(kind: str, data: Any, from_data: Callable[[Any], Made], *, instead: Made, lost: list[str]) -> Made:
    """The rule that was recorded, or one that keeps more.

    :param lost: what can't be made again is added to it.
    """
    try:
        return from_data(_with_secrets(data))
    except UnknownRuleError as error:
        lost.append(f"{kind}: {error}, so {instead!r} is used")
        return instead


def handlers_again(data: Any, *, lost: list[str]) -> tuple[CheckpointHandler, ...]:
    """The observers that were recorded, of those that are installed.

    :param lost: who can't be notified is added to it.
    """
    entries = data if isinstance(data, list) else []
    tables = _tables() if any(isinstance(one, Mapping) for one in entries) else {}
    made = [_observer(one, tables, lost) for one in entries]
    return tuple(one for one in made if one is not None)


def encoding_again(data: Mapping[str, Any]) -> dict[str, Any]:
    """The format, the serializer and the codecs that were recorded.

    :raises GraphDefinitionError: they can't be made again; says what is missing.
    :raises PluginError: one is not installed.
    """
    recorded = {name: _with_secrets(data[name]) for name in ENCODING if data.get(name)}
    for name, value in recorded.items():
        _refuse_hidden(name, value)
    return {name: ENCODING[name](value, place=name) for name, value in recorded.items()}


def _observer(data: Any, tables: PluginOptions, lost: list[str]) -> CheckpointHandler | None:
    if not isinstance(data, Mapping) or len(data) != 1:
        lost.append(f"{shortened(str(data))} is not called")
        return None
    [(name, options)] = data.items()
    if isinstance(options, Mapping) and name in tables:
        options = {**options, **tables[name].values}
    try:
        observer_class(str(name))  # what is missing altogether lacks more than its secrets
        _refuse_hidden(f"the observer {name!r}", {name: options})
        return chosen_observer(name, options, place=f"the observer {shortened(str(name))!r}")
    except (GraphDefinitionError, PluginError) as error:
        lost.append(f"{error} So it is not called")
        return None


def _with_secrets(data: Any) -> Any:
    if not is_hidden(data):
        return data
    from spark.graphs.checkpoint.configuration.plugin_options import completed

    return completed(data, _tables(), only_secrets=True)


def _refuse_hidden(what: str, data: Any) -> None:
    """Refuse what lacks a secret still."""
    for one in data if isinstance(data, list) else [data]:
        for name, options in one.items() if isinstance(one, Mapping) else ():
            if isinstance(options, Mapping) and (hidden := hidden_options(options)):
                raise GraphDefinitionError(
                    f"{what}: {name!r} has secret options, which are not recorded: {', '.join(hidden)}. Set them in the table "
                    f"[plugins.{name}] of spark.toml."
                )


def _names(data: Any) -> Iterator[str]:
    """The names in what was recorded of one kind."""
    if isinstance(data, list):
        for one in data:
            yield from _names(one)
    for name, value in data.items() if isinstance(data, Mapping) else ():
        if isinstance(value, list):  # any or all of these
            yield from _names(value)
        elif isinstance(value, Mapping):
            yield str(name)


def _is_installed(kind: str, name: str) -> bool:
    from spark.hooks.registry import class_of

    try:
        class_of((kind, name))
    except PluginNotFoundError:
        return False
    except PluginError:
        pass
    return True


def _tables() -> PluginOptions:
    from spark.graphs.checkpoint.configuration.plugin_options import plugin_options

    return plugin_options(_files())


def _files() -> list[SettingsFile]:
    from spark.graphs.checkpoint.configuration.files import settings_files

    try:
        directory = Path.cwd()
    except OSError:  # it was deleted, and no settings are found from there
        return []
    return list(settings_files(directory))
