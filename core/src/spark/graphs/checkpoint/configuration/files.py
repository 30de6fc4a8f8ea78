"""Which files hold settings? The nearest ``spark.toml``, and the nearest ``pyproject.toml`` that has a table for us."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

from spark.errors import GraphDefinitionError
from spark.wording import did_you_mean, shown_name

CHECKPOINT: Final = "checkpoint"
PLUGINS: Final = "plugins"
EXECUTORS: Final = "executors"
_TABLES: Final = (CHECKPOINT, PLUGINS, EXECUTORS)
_LARGEST: Final = 2**20
"""Bytes of a file of settings."""


@dataclass(frozen=True, slots=True)
class Table:
    """Settings that were given together."""

    where: str
    """``"spark.toml:[checkpoint]"``, or the name of an environment variable."""
    values: dict[str, Any]
    is_variable: bool = False

    def place(self, key: str) -> str:
        """How messages call one of them."""
        return self.where if self.is_variable else f"{self.where} {shown_name(key)}"


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What one file says."""

    checkpoint: Table
    """The table ``checkpoint``."""
    plugins: dict[str, Table]
    """The tables ``plugins.NAME``, by the names of plugins."""
    executors: Table
    """The table ``executors``: what names mean that nodes and graphs give as ``executor=``."""


def settings_files(directory: Path) -> Iterator[SettingsFile]:
    """The files that apply to a program in this directory, ``spark.toml`` before ``pyproject.toml``.

    :raises GraphDefinitionError: a file can't be read, or has something else in place of a table.
    """
    folders = [directory, *directory.parents]
    for folder in folders:
        if _is_there(file := folder / "spark.toml", directory):
            yield _own_file(file, directory)
            break
    for folder in folders:
        file = folder / "pyproject.toml"
        if _is_there(file, directory) and (ours := _ours(file, directory)) is not None:
            yield ours
            break


def _own_file(file: Path, directory: Path) -> SettingsFile:
    document, name = _read(file, directory), _name(file, directory)
    for key in document:
        if key not in _TABLES:
            raise GraphDefinitionError(
                f"{name}: there is no table [{shown_name(key)}]; settings go into [{CHECKPOINT}], options of plugins into "
                f"[{PLUGINS}.NAME], and what names of executors mean into [{EXECUTORS}]."
            )
    return _settings(document, f"{name}:[", f"{name} ")


def _ours(file: Path, directory: Path) -> SettingsFile | None:
    """What a ``pyproject.toml`` says; None when it has no table of ours."""
    document, name = _read(file, directory), _name(file, directory)
    tools = _inner(document, "tool", f"{name}:[tool]")
    ours = _inner(tools, "spark", f"{name}:[tool.spark]")
    for key in ours:
        # Another tool may use this table as well, so only a likely misspelling is reported.
        if key not in _TABLES and (nearest := did_you_mean(key, _TABLES)):
            raise GraphDefinitionError(f"{name}:[tool.spark] {shown_name(key)}: there is no such table.{nearest}")
    if not {*_TABLES} & ours.keys():
        return None
    return _settings(ours, f"{name}:[tool.spark.", f"{name}:[tool.spark] ")


def _settings(tables: dict[str, Any], opening: str, above: str) -> SettingsFile:
    """The tables of a file; ``plugins``, an array of modules, means the same beside ``[checkpoint]`` as in it."""
    where = f"{opening}{CHECKPOINT}]"
    checkpoint = Table(where, _inner(tables, CHECKPOINT, where))
    executors = Table(f"{opening}{EXECUTORS}]", _inner(tables, EXECUTORS, f"{opening}{EXECUTORS}]"))
    if isinstance(modules := tables.get(PLUGINS), list):
        if PLUGINS in checkpoint.values:
            raise GraphDefinitionError(
                f"{above}{PLUGINS}: {checkpoint.place(PLUGINS)} is set, too. Set one of the two."
            )
        return SettingsFile(Table(where, {**checkpoint.values, PLUGINS: modules}), {}, executors)
    plugins = _inner(tables, PLUGINS, f"{opening}{PLUGINS}]")
    places = {name: f"{opening}{PLUGINS}.{shown_name(name)}]" for name in plugins}
    return SettingsFile(
        checkpoint, {name: Table(places[name], _inner(plugins, name, places[name])) for name in plugins}, executors
    )


def _is_there(file: Path, directory: Path) -> bool:
    """Whether there is anything by this name. A file that can't be read counts: somebody believes that it is in force."""
    try:
        return bool(os.lstat(file))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(file, directory, error) from error


def _read(file: Path, directory: Path) -> dict[str, Any]:
    try:
        _check_file(file)
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # invalid TOML is a ValueError, and so is text that is not UTF-8
        raise _unreadable(file, directory, error) from error
    except RecursionError:  # not chained: its traceback has a thousand lines
        raise _unreadable(file, directory, "it is nested too deeply") from None


def _check_file(file: Path) -> None:
    # Looked at before it is opened: a pipe would be waited for.
    status = os.stat(file)
    if not S_ISREG(status.st_mode):
        raise ValueError("it is not a file")
    if status.st_size > _LARGEST:
        raise ValueError(f"it has {status.st_size:,} bytes, more than {_LARGEST:,}")


def _unreadable(file: Path, directory: Path, reason: object) -> GraphDefinitionError:
    said = reason.strerror if isinstance(reason, OSError) else reason
    cure = "Repair or remove it."
    if isinstance(reason, ValueError) and f"'{PLUGINS}'" in str(reason):  # TOML has no list beside tables of its name
        cure = f"Where there are tables [{PLUGINS}.NAME], name modules in [{CHECKPOINT}]: {PLUGINS} = […]."
    return GraphDefinitionError(f"{_name(file, directory)} can't be read: {said}. {cure}")


def _inner(table: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    inner = table.get(key, {})
    if not isinstance(inner, dict):
        raise GraphDefinitionError(f"{where} must be a table.")
    return inner


def _name(file: Path, directory: Path) -> str:
    return os.path.relpath(file, directory)
