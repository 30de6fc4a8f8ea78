"""One command as typer makes it from a function, with help that can be read: options in groups, examples at its end."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import typer
from typer.core import TyperCommand
from typer.main import get_command

_OPTIONS: Final = "Options"
_TYPES: Final = ((r"<(int|float)( range)?>", "NUMBER"), (r"<str>", "TEXT"), (r"<(path|file|directory)>", "PATH"))
_LIMITS: Final = r"(?<=\[)[\d.]*<?=?x[<>]=?-?[\d.]+(?=\])|; [\d.]*<?=?x[<>]=?-?[\d.]+(?=\])"
_MAY_BE_EMPTY: Final = (None, "TEXT")
"""What is named by these is for people."""
_WIDTH_OF_NAMES: Final = 26


class Command(TyperCommand):
    """A command whose help names its arguments as people write them: ``[GRAPH_ID]...``, and no types of Python."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what was typed; what pydantic says of it is told without the class of its error."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise

    def invoke(self, ctx: Any) -> Any:
        """Call it, unless something is named by an empty text: ``--to "$ID"`` without an ``ID`` is not meant as no ``--to``."""
        for each in self.get_params(ctx):
            value = ctx.params.get(each.name)
            is_empty = value == "" or (isinstance(value, list | tuple) and "" in value)
            if (
                is_empty
                and each.metavar not in _MAY_BE_EMPTY
                and ctx.get_parameter_source(each.name).name == "COMMANDLINE"
            ):
                name = _as_written(each) if _is_argument(each) else each.opts[0]
                raise typer.BadParameter(
                    f"{name} is given an empty text. Is a variable of your shell not set?", ctx=ctx
                )
        return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """``[OPTIONS]`` and the arguments."""
        return ["[OPTIONS]", *(_as_written(each) for each in self.get_params(ctx) if _is_argument(each))]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The examples, each in a line that can be copied."""
        if self.epilog:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.epilog.splitlines()))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """A section for the arguments, and one for each group of options: their ``rich_help_panel``."""
        sections: dict[str, list[tuple[str, str]]] = {}
        each: Any
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            if record is None:
                continue
            if _is_argument(each):
                sections.setdefault("Arguments", []).append((_as_written(each), each.help or ""))
            else:
                sections.setdefault(each.rich_help_panel or _OPTIONS, []).append(_in_plain_words(*record))
        others = sections.pop(_OPTIONS, [])  # last: --help is among them
        for title, rows in [*sections.items(), (_OPTIONS, others)]:
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=_WIDTH_OF_NAMES)


@cache
def command_of(function: Callable[..., Any], name: str, *, examples: str = "") -> TyperCommand:
    """The command that calls this function, whose parameters say how it is called; made once in a process.

    :param examples: lines that its help ends with.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name, cls=Command, epilog=examples or None)(function)
    made = get_command(app)
    assert isinstance(made, TyperCommand)
    return made


def _in_plain_words(names: str, help: str) -> tuple[str, str]:
    """An option's line without the types of Python, and the limits that its help need not say."""
    for written, meant in _TYPES:
        names = re.sub(written, meant, names)
    return names, re.sub(_LIMITS, "", help).replace("  []", "")


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _as_written(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    shown = name if argument.required else f"[{name}]"
    return f"{shown}..." if argument.nargs != 1 else shown
