"""``spark plugins``: what plugins provide and its status, without typer, whose import takes longer than to find them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from spark_cli.own_plugins import find_own_plugins
from spark_cli.terminal.output import say, say_lines, tell, tell_lines
from spark_cli.terminal.tables import Column, say_table

if TYPE_CHECKING:
    from spark.hooks import PluginInfo, Provided

_COLUMNS: Final = (
    Column(title="KIND"),
    Column(title="NAME", shortest=16),
    Column(title="STATUS"),
    Column(title="FROM", gives_way=1, shortest=16),
    Column(title="SCHEMES", gives_way=3, shortest=12),
    Column(title="SUMMARY", gives_way=2, shortest=20),
)
_OF_OPTIONS: Final = (Column(title="OPTION"), Column(title="TYPE", shortest=12), Column(title="DEFAULT", shortest=12))


@dataclass(kw_only=True)
class Row:
    """Something that a plugin provides; or a plugin that provides nothing, since it is blocked or broken."""

    kind: str
    name: str
    status: str
    reason: str
    schemes: list[str] = field(default_factory=list)
    summary: str = ""
    plugin: str
    source: str
    """Distribution and version, or where it was registered."""
    distribution: str
    load_milliseconds: float
    options: list[dict[str, str]] | None = None
    """Only if they were asked for, since the class has to be imported for them."""


def show_plugins(as_json: bool, *, name: str = "") -> bool:
    """Print a row for each thing that plugins provide; returns whether all of it can be used that may be used.

    :param name: show only what has this name, or comes from the plugin or distribution that has it; with its options.
    """
    mistakes = _register_own()
    found = _found()
    rows = [row for plugin in found for row in _rows(plugin, found) if not name or name in _names_of(row)]
    if name:
        _add_options(rows)
    if as_json:
        lines = [{key: value for key, value in asdict(row).items() if value is not None} for row in rows]
        say_lines(json.dumps(lines, indent=2))  # say_json would load pydantic
    else:
        _print(rows)
    for mistake in mistakes:
        tell_lines(f"spark: {mistake}")
    if not rows:
        names = [known for plugin in found for row in _rows(plugin, found) for known in _names_of(row)]
        tell(f"spark: nothing has the name {name!r}.{_near(name, names)} `spark plugins` shows all names.")
    return bool(rows) and not mistakes and all(row.status in ("loaded", "blocked") for row in rows)


def _names_of(row: Row) -> tuple[str, ...]:
    return row.name, row.plugin, row.distribution


def _near(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches  # slow to import, and needed only after a mistake

    return "".join(f" Did you mean {close!r}?" for close in get_close_matches(name, sorted({*known}), n=1))


def _register_own() -> list[str]:
    """Register what the project's settings name; returns what is wrong with that. Only then is the engine loaded."""
    if find_own_plugins():
        from spark.errors import SparkError
        from spark.graphs.checkpoint import CheckpointConfig

        try:
            CheckpointConfig.load()
        except SparkError as error:
            return [str(error)]
    return []


def _found() -> list[PluginInfo]:
    from spark.hooks import plugins

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = plugins()
    shown = [reason for info in found for reason in (info.reason, *(each.reason for each in info.provided)) if reason]
    for text in (str(each.message) for each in warned):
        if not text.endswith(tuple(shown)):  # what is skipped is in the list
            tell(f"spark: {text}")
    return found


def _rows(plugin: PluginInfo, found: Sequence[PluginInfo]) -> Iterator[Row]:
    common: dict[str, Any] = {
        "plugin": plugin.name,
        "source": plugin.source,
        "distribution": plugin.distribution,
        "load_milliseconds": round(plugin.load_seconds * 1000, 1),
    }
    if not plugin.provided:
        yield Row(kind="plugin", name=plugin.name, status=plugin.status, reason=plugin.reason, **common)
    for each in plugin.provided:
        if each.reason:
            yield Row(kind=each.kind, name=each.name, status="skipped", reason=each.reason, **common)
            continue
        rivals = _rivals(each, plugin, found)
        schemes, summary = list(getattr(each.spec, "schemes", ())), each.spec.summary if each.spec else ""
        status = "conflicting" if rivals else "loaded"
        yield Row(
            kind=each.kind, name=each.name, status=status, reason=rivals, schemes=schemes, summary=summary, **common
        )


def _rivals(provided: Provided, plugin: PluginInfo, found: Sequence[PluginInfo]) -> str:
    """Why it conflicts with what others provide; empty when it does not."""
    others = [each for each in found if each is not plugin and each.claims & provided.claims]
    if not others:
        return ""
    shared = provided.claims & frozenset[tuple[str, str]]().union(*(each.claims for each in others))
    names = ", ".join(f"{kind} {name!r}" for kind, name in sorted(shared))
    return (
        f"{names}: also claimed by {', '.join(each.source for each in others)}. Uninstall one, or name the one not to use in "
        "SPARK_DISABLE_PLUGINS."
    )


def _add_options(rows: Sequence[Row]) -> None:
    from spark.errors import PluginError
    from spark.hooks import options_of

    for row in rows:
        if row.status == "loaded" and row.kind != "event":
            try:
                row.options = [asdict(option) for option in options_of(row.kind, row.name)]
            except PluginError as error:  # the class can't be used; until now, nobody had a look at it
                row.status, row.reason = "broken", str(error)


def _print(rows: Sequence[Row]) -> None:
    say_table(
        _COLUMNS, [(row.kind, row.name, row.status, row.source, ", ".join(row.schemes), row.summary) for row in rows]
    )
    for row in rows:
        if row.options is not None:
            say("")
            say(f"{row.kind} {row.name} takes {'these' if row.options else 'no'} options{':' if row.options else '.'}")
            cells = [(each["name"], each["type"], each["default"] or "(required)") for each in row.options]
            say_table(_OF_OPTIONS, cells)
        if row.reason:
            say("")
            say(f"{row.kind} {row.name} ({row.source}) is {row.status}. {row.reason}")
