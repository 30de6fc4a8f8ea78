"""``spark edit``, ``spark fork`` and ``spark drain``: what a run continues from, and when it stops."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from spark_cli.answers import json_of, pair_of
from spark_cli.existing import check_checkpoint, check_graphs
from spark_cli.exit_codes import confirm, end, refuse
from spark_cli.options import Graph, Id, Json, Url, Yes, not_a_url
from spark_cli.running.endings import command
from spark_cli.stores import opened_store, wait_for
from spark_cli.terminal.output import plain, say, say_json, tell
from spark_cli.terminal.showing import summary

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointInfo, GraphCheckpoint

Set: TypeAlias = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=JSON", help="Set this key of the state. Repeat it for more keys."),
]
Append: TypeAlias = Annotated[
    list[str], typer.Option("--append", metavar="KEY=JSON", help="Add one item to the list under this key.")
]
Delete: TypeAlias = Annotated[list[str], typer.Option("--delete", metavar="KEY", help="Remove this key of the state.")]
AsNode: TypeAlias = Annotated[
    str, typer.Option(metavar="NODE", help="Count it as a step of this node: the node's successors run next.")
]
Output: TypeAlias = Annotated[
    str, typer.Option(metavar="JSON", help="With --as-node: the node's output; - reads standard input.")
]
Reason: TypeAlias = Annotated[str, typer.Option(metavar="TEXT", help="The reason, recorded in the history.")]


def edit(
    graph_id: Graph,
    set: Set = [],  # noqa: B006
    append: Append = [],  # noqa: B006
    delete: Delete = [],  # noqa: B006
    as_node: AsNode = "",
    output: Output = "",
    reason: Reason = "",
    url: Url = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Change what the next run of a graph continues from. The change is a new checkpoint; the earlier ones stay.

    The graph must not be running: stop it with spark drain. The program's types are not needed.
    """
    changes = _changes_of(set=set, append=append, delete=delete, as_node=as_node, output=output, reason=reason)
    if not changes.keys() - {"reason"}:
        refuse("say what to change: --set, --append, --delete or --as-node.")
    way_on = command("run", "MODULE:GRAPH", "--resume", url=url)
    _show_result(wait_for(_edit(url, graph_id, changes, yes=yes)), "edited", as_json, way_on=way_on)


async def _edit(url: str, graph_id: str, changes: dict[str, Any], *, yes: bool) -> CheckpointInfo:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        await check_graphs(store, [graph_id])
        manager = CheckpointManager(store)
        if yes:
            return await manager.edit(graph_id, **changes)
        for entry in await manager.history(graph_id, limit=1, newest_first=True):
            latest = await manager.load_checkpoint_at(graph_id, entry.sequence, raw=True)
            _ask(changes, latest, f"Change graph {graph_id!r} like this?")
            return await manager.edit(graph_id, expected=entry.sequence, **changes)
        return await manager.edit(graph_id, **changes)  # which says that there is none


def fork(
    checkpoint_id: Id,
    to: Annotated[
        str,
        typer.Option(
            metavar="GRAPH_ID",
            callback=not_a_url,
            help="The new graph id. Without it, begin a branch: the same graph continues from there.",
        ),
    ] = "",
    set: Set = [],  # noqa: B006
    append: Append = [],  # noqa: B006
    delete: Delete = [],  # noqa: B006
    as_node: AsNode = "",
    output: Output = "",
    reason: Reason = "",
    url: Url = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Begin another graph id, or a branch, from a checkpoint. Change it with the same options as spark edit."""
    changes = _changes_of(set=set, append=append, delete=delete, as_node=as_node, output=output, reason=reason)
    chosen = ["MODULE:BUILD", "--id", to] if to else ["MODULE:GRAPH"]
    way_on = command("run", *chosen, "--resume", url=url)
    _show_result(wait_for(_fork(url, checkpoint_id, to, changes, yes=yes)), "forked", as_json, way_on=way_on)


async def _fork(url: str, checkpoint_id: str, to: str, changes: dict[str, Any], *, yes: bool) -> CheckpointInfo:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        await check_checkpoint(store, checkpoint_id)
        manager = CheckpointManager(store)
        if not (yes or to):
            chosen = await manager.load_checkpoint(checkpoint_id, raw=True)
            _ask(changes, chosen, f"Let graph {chosen.graph_id!r} continue from {checkpoint_id!r}?")
        return await manager.fork(checkpoint_id, to or None, **changes)


def drain(
    graph_id: Graph,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="The reason, which the run's message repeats.")] = "",
    url: Url = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Ask a run, in any process, to stop at its next boundary. Exit code 1 if there seems to be no run.

    The run sees the request within 10 seconds if it has a claim, otherwise at its next checkpoint.
    """
    asked = wait_for(_drain(url, graph_id, reason, yes=yes))
    if as_json:
        say_json({"asked": asked})
    elif asked:
        say("asked")
        tell(f"spark: `spark show {graph_id}` tells when it has stopped.")
    else:
        tell(f"spark: no run of graph {graph_id!r} seems to be under way.")
    end(fine=asked)


async def _drain(url: str, graph_id: str, reason: str, *, yes: bool) -> bool:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        await check_graphs(store, [graph_id])
        if not yes:
            confirm(f"Stop the run of graph {graph_id!r} at its next boundary?")
        return await CheckpointManager(store).drain(graph_id, reason)


def _changes_of(
    *, set: list[str], append: list[str], delete: list[str], as_node: str, output: str, reason: str
) -> dict[str, Any]:
    """What ``CheckpointManager.edit`` takes."""
    if output and not as_node:
        refuse("--output is what a node returned: say which node, with --as-node.")
    added: dict[str, list[Any]] = {}
    for key, item in (pair_of(text, name="--append KEY") for text in append):
        added.setdefault(key, []).append(item)
    values = [pair_of(text, name="--set KEY") for text in set]
    if twice := [key for key, times in Counter(key for key, _ in values).items() if times > 1]:
        refuse(f"--set gives {twice[0]!r} more than one value. Give it one.")
    given = {
        "set": dict(values),
        "append": added,
        "delete": delete,
        "as_node": as_node,
        "reason": reason,
    }
    changes = {name: value for name, value in given.items() if value}
    return changes | {"output": json_of(output, what="--output")} if output else changes


def _ask(changes: dict[str, Any], base: GraphCheckpoint, question: str) -> None:
    """Show what would be changed, and ask whether it is meant."""
    state = base.graph_state
    for key, value in changes.get("set", {}).items():
        if key in state:
            tell(f"- {key}: {summary(state[key])}")
        tell(f"+ {key}: {summary(value)}")
    for key, items in changes.get("append", {}).items():
        for item in items:
            tell(f"+ {key}[]: {summary(item)}")
    for key in changes.get("delete", ()):
        if key in state:
            tell(f"- {key}: {summary(state[key])}")
    if "as_node" in changes:
        tell(f"  as a step of {changes['as_node']}, which returned {summary(changes.get('output'))}")
    confirm(question)


def _show_result(info: CheckpointInfo, what: str, as_json: bool, *, way_on: str) -> None:
    if as_json:
        say_json(plain(info))
        return
    say(f"{what}: {info.checkpoint_id}")
    tell(f"spark: the next run of graph {info.graph_id!r} continues from it: {way_on}")
