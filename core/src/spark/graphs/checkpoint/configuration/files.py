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

_TABLE: Final = "checkpoint"
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


def tables(directory: Path) -> Iterator[Table]:
    """The tables that apply to a program in this directory, ``spark.toml`` before ``pyproject.toml``.

    :raises GraphDefinitionError: a file can't be read, or has something else in place of the table.
    """
    folders = [directory, *directory.parents]
    for folder in folders:
        if _is_there(file := folder / "spark.toml", directory):
            yield _own_table(file, directory)
            break
    for folder in folders:
        file = folder / "pyproject.toml"
        if _is_there(file, directory) and (table := _pyproject_table(file, directory)) is not None:
            yield table
            break


def _own_table(file: Path, directory: Path) -> Table:
    document, name = _read(file, directory), _name(file, directory)
    for key in document:
        if key != _TABLE:
            raise GraphDefinitionError(f"{name}: there is no table [{shown_name(key)}]; settings go into [{_TABLE}].")
    return Table(f"{name}:[{_TABLE}]", _inner(document, _TABLE, f"{name}:[{_TABLE}]"))


def _pyproject_table(file: Path, directory: Path) -> Table | None:
    document, name = _read(file, directory), _name(file, directory)
    tools = _inner(document, "tool", f"{name}:[tool]")
    ours = _inner(tools, "spark", f"{name}:[tool.spark]")
    for key in ours:
        # Another tool may use this table as well, so only a likely misspelling is reported.
        if key != _TABLE and (nearest := did_you_mean(key, [_TABLE])):
            raise GraphDefinitionError(f"{name}:[tool.spark] {shown_name(key)}: there is no such table.{nearest}")
    where = f"{name}:[tool.spark.{_TABLE}]"
    return Table(where, _inner(ours, _TABLE, where)) if _TABLE in ours else None


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
    return GraphDefinitionError(f"{_name(file, directory)} can't be read: {said}. Repair or remove it.")


def _inner(table: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    inner = table.get(key, {})
    if not isinstance(inner, dict):
        raise GraphDefinitionError(f"{where} must be a table.")
    return inner


def _name(file: Path, directory: Path) -> str:
    return os.path.relpath(file, directory)
