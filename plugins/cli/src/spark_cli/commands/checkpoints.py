"""``spark checkpoints list | show | diff | delete | forget | prune``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from spark_cli.exit_codes import confirm, end, refuse
from spark_cli.failures import failures_of, in_a_word, in_lines
from spark_cli.options import Id, Imports, Json, OneGraph, Url, not_a_url
from spark_cli.output import plain, say, say_json, say_table, tell
from spark_cli.paths import value_at
from spark_cli.showing import counted, in_full, maps_under_way, summary
from spark_cli.stores import opened_store, wait_for
from spark_cli.targets import import_all

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointInfo, GraphCheckpoint, Listing, Retention
    from spark_cli.differences import Difference

Failures: TypeAlias = Mapping[tuple[str, int], Mapping[str, Any]]
_MOST_ITEMS: Final = 5
"""A difference shows so many of the items that were added to a list, or removed."""


def list_checkpoints(
    graph_id: OneGraph = "",
    url: Url = "",
    limit: Annotated[int, typer.Option(help="At most this many; 0 for all.", min=0)] = 0,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="The newest ones, newest first.")] = False,
    as_json: Json = False,
) -> None:
    """List checkpoints, graph by graph, oldest first."""
    listing, failures = wait_for(_list(url, graph_id, limit, newest_first))
    _print_infos(listing.infos, as_json, failures)
    for damaged in listing.damaged:
        tell(f"damaged: {damaged.reason}")
    if not listing.infos and not listing.damaged and not as_json:
        tell("spark: there are no checkpoints here.")


async def _list(url: str, graph_id: str, limit: int, newest_first: bool) -> tuple[Listing, Failures]:
    from spark.graphs.checkpoint import CheckpointManager
    from spark.graphs.checkpoint.storage import CheckpointQuery

    query = CheckpointQuery(graph_id=graph_id or None, limit=limit or None, newest_first=newest_first)
    async with opened_store(url) as store:
        listing = await CheckpointManager(store).listing(query)
        return listing, await failures_of(store, listing.infos, graph_id=graph_id or None)


def show(
    checkpoint_id: Id,
    url: Url = "",
    path: Annotated[str, typer.Option(help="Only this value: graph_state.messages[-10:]", metavar="PATH")] = "",
    imports: Imports = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Show one checkpoint with its state, or one value of it."""
    import_all(imports)
    (checkpoint,) = wait_for(_load(url, [checkpoint_id]))
    content = _content(checkpoint)
    if path:
        _show_value(path, content, as_json)
        return
    if as_json:
        say_json(content)
        return
    for name, value in content.items():
        say(f"{name}: {summary(value)}" if not isinstance(value, dict) or not value else f"{name}:")
        for key, inner in value.items() if isinstance(value, dict) else ():
            if (name, key) == ("execution_metadata", "error") and isinstance(inner, dict):
                _print_failure(inner)
            else:
                say(f"    {key}: {summary(inner)}")
    for map in maps_under_way(content.get("frontier")):
        say(f"map: {map}")


def _show_value(path: str, content: dict[str, Any], as_json: bool) -> None:
    try:
        value = value_at(path, content)
    except ValueError as error:
        refuse(f"{error}.")
    if as_json:
        say_json(value)
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
    before: Id,
    after: Id,
    url: Url = "",
    imports: Imports = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Show what differs between two checkpoints. Exit code 1 when something does."""
    from spark_cli.differences import differences

    import_all(imports)
    found = differences(*wait_for(_load(url, [before, after])))
    if as_json:
        say_json(found)
    for each in [] if as_json else found:
        if each.change != "added":
            _print_side("-", each, "removed", each.before)
        if each.change != "removed":
            _print_side("+", each, "added", each.after)
    end(fine=not found)


def _print_side(sign: str, difference: Difference, verb: str, value: Any) -> None:
    if difference.at is None:
        say(f"{sign} {difference.path}: {summary(value)}")
        return
    say(f"{sign} {difference.path}: {counted(len(value), 'item')} {verb} at {difference.at:,}")
    for item in value[:_MOST_ITEMS]:
        say(f"    {summary(item)}")
    if len(value) > _MOST_ITEMS:
        say(f"    … {len(value) - _MOST_ITEMS:,} more")


async def _load(url: str, checkpoint_ids: Sequence[str]) -> list[GraphCheckpoint]:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        return [await CheckpointManager(store).load_checkpoint(each) for each in checkpoint_ids]


def delete(
    checkpoint_ids: Annotated[list[str], typer.Argument(metavar="CHECKPOINT_ID...", show_default=False)] = [],  # noqa: B006
    graph: Annotated[str, typer.Option(metavar="GRAPH_ID", help="All checkpoints of this graph.")] = "",
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Delete checkpoints, by id or all of a graph. Exit code 1 when an id does not exist."""
    if bool(checkpoint_ids) == bool(graph):
        refuse("give ids of checkpoints, or --graph.")
    deleted, missing = wait_for(_delete(url, checkpoint_ids, graph))
    if as_json:
        say_json({"deleted": deleted, "missing": missing})
    else:
        say(f"{deleted} deleted")
        for each in missing:
            tell(f"There is no checkpoint {each!r}.")
    end(fine=not missing)


async def _delete(url: str, checkpoint_ids: Sequence[str], graph_id: str) -> tuple[int, list[str]]:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        manager = CheckpointManager(store)
        if graph_id:
            return await manager.delete_all_checkpoints(graph_id), []
        missing = [each for each in checkpoint_ids if not await manager.delete_checkpoint(each)]
        return len(checkpoint_ids) - len(missing), missing


def forget(
    graph_id: Annotated[str, typer.Argument(metavar="GRAPH_ID", callback=not_a_url)],
    url: Url = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove every trace of a graph: all checkpoints, what they refer to, and the id itself.

    No run of the graph may be under way. This can't be undone.
    """
    if not yes:
        confirm(f"Remove every trace of graph {graph_id!r}?", otherwise="--yes")
    forgotten = wait_for(_forget(url, graph_id))
    if as_json:
        say_json({"forgotten": forgotten})
    else:
        say(f"{forgotten} deleted; nothing is left of graph {graph_id!r}")


async def _forget(url: str, graph_id: str) -> int:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        return await CheckpointManager(store).forget(graph_id)


def prune(
    graph_id: OneGraph = "",
    url: Url = "",
    keep: Annotated[int, typer.Option(help="Keep this many of each graph.", min=0)] = 0,
    days: Annotated[float, typer.Option(help="Keep those younger than this many days.", min=0)] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    as_json: Json = False,
) -> None:
    """Delete old checkpoints, except the latest of each graph and those made by hand.

    Without --keep and --days, the retention of the configuration in force decides.
    """
    to_delete = wait_for(_prune(url, graph_id, _retention(keep, days), dry_run))
    _print_infos(to_delete, as_json)
    if not as_json:
        say(f"{len(to_delete)} {'would be deleted' if dry_run else 'deleted'}")


async def _prune(url: str, graph_id: str, retention: Retention, dry_run: bool) -> list[CheckpointInfo]:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        return await CheckpointManager(store).prune(retention, graph_id=graph_id or None, dry_run=dry_run)


def _retention(keep: int, days: float) -> Retention:
    from spark.graphs.checkpoint import CheckpointConfig, KeepFor, KeepLast

    rules = [*([KeepLast(keep)] if keep else []), *([KeepFor(days=days)] if days else [])]
    if rules:
        return rules[0] | rules[1] if len(rules) == 2 else rules[0]
    config = CheckpointConfig.load(
        **dict.fromkeys(("trigger", "handler", "format", "serializer", "codec"))
    )  # not needed
    if all(config.sources[name] == "default" for name in ("retention", "max_checkpoints", "auto_cleanup")):
        refuse("say what to keep, with --keep or --days; no configuration sets a retention.")
    return config.combined_retention()


def _print_infos(infos: Sequence[CheckpointInfo], as_json: bool, failures: Failures | None = None) -> None:
    errors = [(failures or {}).get((info.graph_id, info.sequence)) for info in infos]
    if as_json:
        say_json(
            [
                plain(info) | ({} if error is None else {"error": error})
                for info, error in zip(infos, errors, strict=True)
            ]
        )
        return
    titles = ("CHECKPOINT", "GRAPH", "SEQUENCE", "MADE", "BYTES", "")
    say_table(titles, [_row(info, error) for info, error in zip(infos, errors, strict=True)])


def _row(info: CheckpointInfo, error: Mapping[str, Any] | None) -> tuple[str, ...]:
    made = info.timestamp.isoformat(sep=" ", timespec="seconds")
    remark = "by hand" if info.manual else in_a_word(error) if error is not None else ""
    return info.checkpoint_id, info.graph_id, str(info.sequence), made, str(info.size), remark
