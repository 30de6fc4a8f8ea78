"""``spark checkpoints delete | prune | forget``: what can't be undone, so a person is asked first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spark_cli.commands.listing import print_infos
from spark_cli.completing import checkpoint_ids, graph_ids
from spark_cli.existing import check_graphs, why_missing
from spark_cli.exit_codes import FINE, WRONG_USAGE, confirm, refuse
from spark_cli.options import Graph, Json, OneGraph, Url, Yes
from spark_cli.stores import opened_store, wait_for
from spark_cli.terminal.output import say, say_json, shortened, tell
from spark_cli.terminal.showing import counted

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointInfo, Retention


def delete(
    checkpoint_ids: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT_ID",
            help="The checkpoints to delete.",
            show_default=False,
            autocompletion=checkpoint_ids,
        ),
    ] = [],  # noqa: B006
    graph: Annotated[
        str, typer.Option(metavar="GRAPH_ID", help="Delete all checkpoints of this graph.", autocompletion=graph_ids)
    ] = "",
    url: Url = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete checkpoints, by id or all of a graph. Exit code 2 if an id does not exist; the others are deleted.

    The sequences of a graph stay used, so that no run uses them again; spark checkpoints forget frees them, too.
    """
    if bool(checkpoint_ids) == bool(graph):
        refuse("give ids of checkpoints, or --graph.")
    deleted, missing = wait_for(_delete(url, checkpoint_ids, graph, yes))
    if as_json:
        say_json({"deleted": deleted, "missing": [*missing]})
    else:
        say(f"{deleted:,} deleted")
    for why in missing.values():
        tell(f"spark: {why}")
    raise typer.Exit(WRONG_USAGE if missing else FINE)


async def _delete(url: str, checkpoint_ids: Sequence[str], graph_id: str, yes: bool) -> tuple[int, dict[str, str]]:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        manager = CheckpointManager(store)
        if graph_id:
            await check_graphs(store, [graph_id])
            if not yes:
                count = len((await store.list(graph_id)).sequences())
                confirm(
                    f"Delete all {counted(count, 'checkpoint')} of graph {graph_id!r}, including those made by hand?"
                )
            return await manager.delete_all_checkpoints(graph_id), {}
        if not yes:
            named = shortened(", ".join(checkpoint_ids))
            confirm(f"Delete {counted(len(checkpoint_ids), 'checkpoint')}: {named}?")
        missing = [each for each in checkpoint_ids if not await manager.delete_checkpoint(each)]
        return len(checkpoint_ids) - len(missing), {each: await why_missing(store, each) for each in missing}


def forget(
    graph_id: Graph,
    url: Url = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove every trace of a graph. It deletes all checkpoints, their large values, signals sent to it, and the id itself.

    The graph must not be running. This can't be undone.
    """
    forgotten = wait_for(_forget(url, graph_id, yes))
    if as_json:
        say_json({"forgotten": forgotten})
    else:
        say(f"{forgotten:,} deleted; nothing is left of graph {graph_id!r}")


async def _forget(url: str, graph_id: str, yes: bool) -> int:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        await check_graphs(store, [graph_id])
        if not yes:
            count = len((await store.list(graph_id)).sequences())
            confirm(f"Remove every trace of graph {graph_id!r}, including {counted(count, 'checkpoint')}?")
        return await CheckpointManager(store).forget(graph_id)


def prune(
    graph_id: OneGraph = "",
    url: Url = "",
    keep: Annotated[
        int | None,
        typer.Option(
            help="Keep this many of the latest checkpoints of each graph.", min=1, metavar="NUMBER", show_default=False
        ),
    ] = None,
    days: Annotated[
        float | None,
        typer.Option(help="Keep checkpoints that are younger than this.", min=0, metavar="DAYS", show_default=False),
    ] = None,
    current_branch: Annotated[
        bool, typer.Option("--current-branch", help="Delete all branches but the one with the latest checkpoint.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, and delete nothing.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete old checkpoints of each graph. The latest one of each branch, and those made by hand, stay.

    With --keep and --days, a checkpoint stays if either keeps it. Without them, the retention rule in your settings
    decides.
    """
    branches: Literal["each", "current"] = "current" if current_branch else "each"
    deleted = wait_for(_prune(url, graph_id, _retention(keep, days), branches=branches, dry_run=dry_run, yes=yes))
    if as_json:
        say_json(deleted)
    else:
        print_infos(deleted)
        say(f"{len(deleted):,} {'would be deleted' if dry_run else 'deleted'}")


async def _prune(
    url: str, graph_id: str, retention: Retention, *, branches: Literal["each", "current"], dry_run: bool, yes: bool
) -> list[CheckpointInfo]:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        await check_graphs(store, [graph_id])
        prune = partial(CheckpointManager(store).prune, retention, graph_id=graph_id or None, branches=branches)
        if not (dry_run or yes):
            surplus = await prune(dry_run=True)
            if not surplus:
                return []
            graphs = counted(len({info.graph_id for info in surplus}), "graph")
            confirm(f"Delete {counted(len(surplus), 'old checkpoint')} of {graphs}? --dry-run shows which.")
        return await prune(dry_run=dry_run)


def _retention(keep: int | None, days: float | None) -> Retention:
    from spark.graphs.checkpoint import CheckpointConfig, KeepFor, KeepLast

    rules: list[Any] = [
        *([KeepLast(keep)] if keep is not None else []),
        *([KeepFor(days=days)] if days is not None else []),
    ]
    if rules:
        return rules[0] | rules[1] if len(rules) == 2 else rules[0]  # type: ignore[no-any-return]
    config = CheckpointConfig.load(
        **dict.fromkeys(("trigger", "handler", "format", "serializer", "codec"))
    )  # not needed
    if all(config.sources[name] == "default" for name in ("retention", "max_checkpoints", "auto_cleanup")):
        refuse("say what to keep, with --keep or --days; no configuration sets a retention.")
    return config.combined_retention()
