"""``spark checkpoints list | show | diff | delete | forget | prune``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spark_cli.ending import confirm, end, refuse
from spark_cli.output import plain, print_json, print_table
from spark_cli.stores import OneGraph, Url, not_a_url, opened_store, wait_for
from spark_cli.targets import Imports, import_all

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointInfo, GraphCheckpoint, Listing, Retention

Json = Annotated[bool, typer.Option("--json", help="For scripts.")]
Id = Annotated[str, typer.Argument(metavar="CHECKPOINT_ID")]


def list_checkpoints(
    graph_id: OneGraph = "",
    url: Url = "",
    limit: Annotated[int, typer.Option(help="At most so many; 0 means all.", min=0)] = 0,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="The newest ones, newest first.")] = False,
    as_json: Json = False,
) -> None:
    """List checkpoints, graph by graph, oldest first."""
    listing = wait_for(_list(url, graph_id, limit, newest_first))
    _print_infos(listing.infos, as_json)
    for damaged in listing.damaged:
        typer.echo(f"damaged: {damaged.reason}", err=True)
    if not listing.infos and not listing.damaged and not as_json:
        typer.echo("spark: there are no checkpoints here.", err=True)


async def _list(url: str, graph_id: str, limit: int, newest_first: bool) -> Listing:
    from spark.graphs.checkpoint import CheckpointManager, CheckpointQuery

    query = CheckpointQuery(graph_id=graph_id or None, limit=limit or None, newest_first=newest_first)
    async with opened_store(url) as store:
        return await CheckpointManager(store).listing(query)


def show(checkpoint_id: Id, url: Url = "", imports: Imports = [], as_json: Json = False) -> None:  # noqa: B006
    """Show one checkpoint with the state in it."""
    import_all(imports)
    (checkpoint,) = wait_for(_load(url, [checkpoint_id]))
    content = _content(checkpoint)
    if as_json:
        print_json(content)
        return
    for name, value in content.items():
        typer.echo(f"{name}: {_short(value)}" if not isinstance(value, dict) or not value else f"{name}:")
        for key, inner in value.items() if isinstance(value, dict) else ():
            typer.echo(f"    {key}: {_short(inner)}")


def _content(checkpoint: GraphCheckpoint) -> dict[str, Any]:
    names = (
        *("checkpoint_id", "graph_id", "sequence", "parent", "timestamp", "version", "origin"),
        *("execution_metadata", "graph_state", "node_states", "frontier", "config"),
    )
    return {name: getattr(checkpoint, name) for name in names}


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
        print_json(found)
    for each in [] if as_json else found:
        if each.change != "added":
            typer.echo(f"- {each.path}: {_short(each.before)}")
        if each.change != "removed":
            typer.echo(f"+ {each.path}: {_short(each.after)}")
    end(fine=not found)


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
    """Delete checkpoints, by id or all of a graph. Exit code 1 when an id is not there."""
    if bool(checkpoint_ids) == bool(graph):
        refuse("give ids of checkpoints, or --graph.")
    deleted, missing = wait_for(_delete(url, checkpoint_ids, graph))
    if as_json:
        print_json({"deleted": deleted, "missing": missing})
    else:
        typer.echo(f"{deleted} deleted")
        for each in missing:
            typer.echo(f"There is no checkpoint {each!r}.", err=True)
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

    No run of the graph may be under way. There is no way back.
    """
    if not yes:
        confirm(f"Remove every trace of graph {graph_id!r}?", otherwise="--yes")
    forgotten = wait_for(_forget(url, graph_id))
    if as_json:
        print_json({"forgotten": forgotten})
    else:
        typer.echo(f"{forgotten} deleted; nothing is left of graph {graph_id!r}")


async def _forget(url: str, graph_id: str) -> int:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        return await CheckpointManager(store).forget(graph_id)


def prune(
    graph_id: OneGraph = "",
    url: Url = "",
    keep: Annotated[int, typer.Option(help="Keep so many of each graph.", min=0)] = 0,
    days: Annotated[float, typer.Option(help="Keep what is younger than so many days.", min=0)] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    as_json: Json = False,
) -> None:
    """Delete old checkpoints, except the latest of each graph and those made by hand.

    Without --keep and --days, by the retention that the configuration in force sets.
    """
    going = wait_for(_prune(url, graph_id, _retention(keep, days), dry_run))
    _print_infos(going, as_json)
    if not as_json:
        typer.echo(f"{len(going)} {'would be deleted' if dry_run else 'deleted'}")


async def _prune(url: str, graph_id: str, retention: Retention, dry_run: bool) -> list[CheckpointInfo]:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        return await CheckpointManager(store).prune(retention, graph_id=graph_id or None, dry_run=dry_run)


def _retention(keep: int, days: float) -> Retention:
    from spark.graphs.checkpoint import CheckpointConfig, KeepFor, KeepLast

    rules = [*([KeepLast(keep)] if keep else []), *([KeepFor(days=days)] if days else [])]
    if rules:
        return rules[0] | rules[1] if len(rules) == 2 else rules[0]
    config = CheckpointConfig.load()
    if all(config.sources[name] == "default" for name in ("retention", "max_checkpoints", "auto_cleanup")):
        refuse("say what to keep, with --keep or --days; no configuration sets a retention.")
    return config.combined_retention()


def _print_infos(infos: Sequence[CheckpointInfo], as_json: bool) -> None:
    if as_json:
        print_json(infos)
        return
    titles = ("CHECKPOINT", "GRAPH", "SEQUENCE", "MADE", "BYTES", "")
    print_table(titles, [_row(info) for info in infos])


def _row(info: CheckpointInfo) -> tuple[str, ...]:
    made = info.timestamp.isoformat(sep=" ", timespec="seconds")
    by_hand = "by hand" if info.manual else ""
    return info.checkpoint_id, info.graph_id, str(info.sequence), made, str(info.size), by_hand


def _short(value: Any) -> str:
    import json

    # What is stored may hold whatever a terminal takes for commands; JSON spells control characters out.
    is_safe = isinstance(value, str) and value.isprintable()
    text = value if is_safe else json.dumps(plain(value))
    return text if len(text) <= 200 else f"{text[:199]}…"
