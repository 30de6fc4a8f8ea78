"""``spark checkpoints list | show | diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from spark_cli.completing import checkpoint_ids
from spark_cli.existing import check_checkpoint, load
from spark_cli.exit_codes import end, refuse
from spark_cli.options import Id, Imports, Json, Url
from spark_cli.paths import value_at
from spark_cli.stores import opened_store, wait_for
from spark_cli.targets import import_all
from spark_cli.terminal.output import is_raw, say, say_json, tell
from spark_cli.terminal.showing import counted, in_full, map_line, summary
from spark_cli.terminal.stored import how_to_make, tree
from spark_cli.views.failures import in_lines

if TYPE_CHECKING:
    from spark.graphs.checkpoint import Difference, GraphCheckpoint

_MOST_ITEMS: Final = 5
"""A difference shows so many of the items that were added to a list, or removed."""
_LONG: Final = 80
"""Of texts with more characters, a difference shows the part that differs."""


def show(
    checkpoint_id: Id,
    url: Url = "",
    path: Annotated[str, typer.Option(help="Show only this value: graph_state.messages[-10:]", metavar="PATH")] = "",
    imports: Imports = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Show one checkpoint with its state, or one value of it. Exit code 1 if a part of it is damaged.

    The program's types are not needed: objects are shown as stored, with the names of their types. With --import, they are
    created, and thereby checked.
    """
    import_all(imports)
    checkpoint = wait_for(_load(url, checkpoint_id, raw=not imports))
    content = _content(checkpoint)
    if path:
        content = {path: _value_at(path, content)}
        _show_value(content[path], as_json)
    elif as_json:
        say_json(content)
    else:
        _show_all(content)
        for each in checkpoint.pending().maps:
            say(f"map: {map_line(each)}")
    for place, reason in checkpoint.damaged.items():
        tell(f"damaged: {place}: {reason}")
    if not as_json and (how := how_to_make(content)):
        tell(f"spark: {how}")
    end(fine=not checkpoint.damaged)


async def _load(url: str, checkpoint_id: str, *, raw: bool) -> GraphCheckpoint:
    async with opened_store(url) as store:
        return await load(store, checkpoint_id, raw=raw)


def _show_all(content: dict[str, Any]) -> None:
    for name, value in content.items():
        if not isinstance(value, dict) or not value:
            say(f"{name}: {summary(value)}")
            continue
        say(f"{name}:")
        for key, inner in value.items():
            if (name, key) == ("execution_metadata", "error") and isinstance(inner, dict):
                _print_failure(inner)
            else:
                for line in tree(key, inner):
                    say(f"    {line}")


def _value_at(path: str, content: dict[str, Any]) -> Any:
    try:
        return value_at(path, content)
    except ValueError as error:
        refuse(f"{error}.")


def _show_value(value: Any, as_json: bool) -> None:
    if as_json:
        say_json(value)
    elif is_raw(value) and isinstance(value.value, dict):
        for key, inner in value.value.items():
            for line in tree(key, inner):
                say(line)
    elif isinstance(value, dict):
        for key, inner in value.items():
            say(f"{key}: {in_full(inner)}")
    else:
        for item in value if isinstance(value, list | tuple) else [value]:
            say(in_full(item))


def _print_failure(error: dict[str, Any]) -> None:
    first, *others = in_lines(error)
    say(f"    error: {first}")
    for line in others:
        say(f"    {line}")


def _content(checkpoint: GraphCheckpoint) -> dict[str, Any]:
    from spark.graphs.checkpoint.storage import SECTIONS

    facts = ("checkpoint_id", "graph_id", "sequence", "parent", "timestamp", "version", "origin", "execution_metadata")
    shown = (name for name, section in SECTIONS.items() if section.is_shown)
    return {name: getattr(checkpoint, name) for name in (*facts, *shown)}


def diff(
    before: Annotated[
        str, typer.Argument(metavar="BEFORE", help="The earlier checkpoint's id.", autocompletion=checkpoint_ids)
    ],
    after: Annotated[
        str, typer.Argument(metavar="AFTER", help="The later checkpoint's id.", autocompletion=checkpoint_ids)
    ],
    url: Url = "",
    imports: Imports = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Show the differences between two checkpoints. Exit code 1 if there are any.

    For long texts, it shows the lines that differ. The program's types are not needed; with --import, the objects are created,
    and compared as the program would.
    """
    import_all(imports)
    found = wait_for(_diff(url, before, after, raw=not imports))
    if as_json:
        say_json([each.to_data() for each in found])
    else:
        for each in found:
            _print_difference(each)
        if how := how_to_make([(each.before, each.after) for each in found]):
            tell(f"spark: {how}")
    end(fine=not found)


async def _diff(url: str, before: str, after: str, *, raw: bool) -> list[Difference]:
    from spark.errors import CheckpointNotFoundError
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        manager = CheckpointManager(store)
        if not raw:
            return await manager.diff(await load(store, before), await load(store, after))
        try:
            return await manager.diff(before, after)
        except CheckpointNotFoundError:
            for each in (before, after):
                await check_checkpoint(store, each)
            raise


def _print_difference(difference: Difference) -> None:
    before, after = difference.before, difference.after
    if isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > _LONG:
        say(f"~ {difference.path}: {len(before):,} characters, then {len(after):,}")
        for mark, line in difference.lines():
            say(f"    {mark} {line}".rstrip())
        return
    if difference.change != "added":
        _print_side("-", difference, "removed", before)
    if difference.change != "removed":
        _print_side("+", difference, "added", after)


def _print_side(sign: str, difference: Difference, verb: str, value: Any) -> None:
    if difference.at is None:
        for number, line in enumerate(tree(difference.path, value)):
            say(f"{sign if number == 0 else ' '} {line}")
        return
    say(f"{sign} {difference.path}: {counted(len(value), 'item')} {verb} at {difference.at:,}")
    for item in value[:_MOST_ITEMS]:
        say(f"    {summary(item)}")
    if len(value) > _MOST_ITEMS:
        say(f"    … {len(value) - _MOST_ITEMS:,} more")
