"""A group of commands that are imported when they are called, and listed in sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar, Final, NamedTuple

from typer.core import TyperCommand, TyperGroup

from spark.errors import PluginBrokenError
from spark_cli.command import command_of
from spark_cli.exit_codes import refuse
from spark_cli.extensions import Extension, extensions, why_missing

_MORE: Final = "From plugins"


class Own(NamedTuple):
    """A command of this distribution."""

    target: str
    """Where its function is: ``"module:function"``."""
    line: str
    """What it is for: the first sentence of the function's docstring."""


class Commands(TyperGroup):
    """A group that makes a command when it is called, and imports none to list them.

    typer makes it, so subclasses say what is in it.
    """

    own: ClassVar[Mapping[str, Mapping[str, Own]]] = {}
    """By title of the section and by name."""
    takes_extensions: ClassVar[bool] = False
    """Other distributions may add commands."""
    examples: ClassVar[Mapping[str, str]] = {}
    """By name of the command."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self._groups = {**self.commands}
        """Groups within this one, which typer has made."""
        self._table = {name: own for section in self.own.values() for name, own in section.items()}
        # By their names, which typer suggests for a misspelt one.
        self.commands = {name: self._groups.get(name) for name in self._table}  # type: ignore[misc]

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, ours first."""
        return [*self._table, *(each.name for each in self._extensions)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, made of its function."""
        if cmd_name in self._groups:
            return self._groups[cmd_name]
        if cmd_name in self._table:
            function = _imported(self._table[cmd_name].target)
            return command_of(function, cmd_name, examples=self.examples.get(cmd_name, ""))
        for each in self._extensions:
            if each.name == cmd_name:
                return _if_usable(each) if ctx.resilient_parsing else each.command()
        if self.takes_extensions and not ctx.resilient_parsing and (why := why_missing(cmd_name)):
            refuse(why)
        return None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """A line for each, in sections."""
        width = max(map(len, self._table), default=0)
        sections = {
            title: [(name.ljust(width), each.line) for name, each in section.items()]
            for title, section in self.own.items()
        }
        sections[_MORE] = [(each.name.ljust(width), _line_of(each)) for each in self._extensions]
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    @cached_property
    def _extensions(self) -> list[Extension]:
        return extensions(besides=self._table) if self.takes_extensions else []


def _imported(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def _if_usable(extension: Extension) -> TyperCommand | None:
    """For a shell that completes: a broken one keeps nobody from the others."""
    try:
        return extension.command()
    except PluginBrokenError:
        return None


def _line_of(extension: Extension) -> str:
    """The first sentence of its docstring, or why it can't be used."""
    try:
        text = (extension.function().__doc__ or "").strip()
    except PluginBrokenError as error:
        return f"(can't be used) {error}"
    return " ".join(text.partition("\n\n")[0].split()).partition(". ")[0].removesuffix(".") + "." if text else ""
