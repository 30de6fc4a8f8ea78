"""Commands that other distributions bring: entry points of the group ``spark.commands``, imported when they are called."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, NamedTuple

from spark.errors import PluginBrokenError
from spark_cli.command import command_of

if TYPE_CHECKING:
    from typer.core import TyperCommand

    from spark.hooks import Candidate


class Extension(NamedTuple):
    """A command that is installed, by its name, and the distributions that bring it: one, or it can't be used."""

    name: str
    candidates: list[Candidate]

    def command(self) -> TyperCommand:
        """The command, made of its function.

        :raises PluginBrokenError: it can't be used; says why, and what to do.
        """
        function = self.function()
        try:
            return command_of(function, self.name)
        except Exception as error:
            first = self.candidates[0]
            raise PluginBrokenError(
                f"The command {self.name!r} of {first.distribution} can't be used: the parameters of {first.entry_point.value} "
                f"are not as typer wants them: {type(error).__name__}: {error}. Upgrade {first.distribution}."
            ) from error

    def function(self) -> Callable[..., Any]:
        """What it calls.

        :raises PluginBrokenError: it can't be used; says why, and what to do.
        """
        first, *others = self.candidates
        label = f"The command {self.name!r} of {first.distribution}"
        if others:
            of = ", ".join(each.distribution for each in self.candidates)
            raise PluginBrokenError(f"The command {self.name!r} comes from several distributions: {of}. Uninstall one.")
        if first.flaw:
            raise PluginBrokenError(f"{label} can't be used. {first.flaw}")
        try:
            function = first.load()
        except (Exception, SystemExit) as error:
            raise PluginBrokenError(
                f"{label} can't be used: importing {first.entry_point.value} failed: {type(error).__name__}: {error}. "
                f"Reinstall or upgrade {first.distribution}."
            ) from error
        if isinstance(function, type) or not callable(function):
            raise PluginBrokenError(
                f"{label} can't be used: {first.entry_point.value} is not a function. Upgrade {first.distribution}."
            )
        return function  # type: ignore[no-any-return]


def extensions(*, besides: Container[str]) -> list[Extension]:
    """Those that may be used, by name, except commands of these names."""
    from spark.hooks import COMMANDS, find_candidates, reason_to_block

    found: dict[str, Extension] = {}
    for candidate in find_candidates(COMMANDS):
        if candidate.name not in besides and not reason_to_block(candidate):
            found.setdefault(candidate.name, Extension(candidate.name, [])).candidates.append(candidate)
    return [found[name] for name in sorted(found)]


def why_missing(name: str) -> str:
    """Why there is no command of this name, and what to do, if it is blocked or one of ours; else nothing."""
    from spark.hooks import COMMANDS, extras, find_candidates, reason_to_block

    for candidate in find_candidates(COMMANDS):
        if candidate.name == name and (reason := reason_to_block(candidate)):
            return f"the command {name!r} of {candidate.distribution} is blocked. {reason}"
    extra = extras().get(("command", name))
    return f"the command {name!r} is not installed. To get it: {extra.command}" if extra else ""
