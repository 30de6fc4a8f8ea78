"""``spark doctor`` and ``spark checkpoints verify``: is a store healthy, and can it be repaired?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spark_cli.existing import check_graphs
from spark_cli.exit_codes import confirm, end, refuse
from spark_cli.options import Imports, Json, OneGraph, Url, Yes
from spark_cli.stores import opened_store, wait_for
from spark_cli.targets import import_all
from spark_cli.terminal.output import say, say_json, tell
from spark_cli.terminal.progress import bar
from spark_cli.terminal.showing import counted

if TYPE_CHECKING:
    from spark.errors import SparkError
    from spark.graphs.checkpoint import CheckpointBackend, CheckpointInfo, CheckpointManager, Verification


def verify(
    graph_id: OneGraph = "",
    url: Url = "",
    imports: Imports = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Load every checkpoint, and name damaged ones. Exit code 1 if there are any. Nothing is changed."""
    import_all(imports)
    found = wait_for(_verify(url, graph_id, raw=not imports))
    if as_json:
        say_json(_content(found))
    else:
        _print(found)
        _tell_of_types(imports)
    end(fine=found.is_fine)


async def _verify(url: str, graph_id: str, *, raw: bool) -> Verification:
    from spark.graphs.checkpoint import CheckpointManager

    with bar("verifying") as report:
        async with opened_store(url) as store:
            await check_graphs(store, [graph_id])
            return await CheckpointManager(store).verify(graph_id or None, raw=raw, report=report)


def examine(
    url: Url = "",
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Delete damaged checkpoints, leftovers and unreferenced values, even during runs."
        ),
    ] = False,
    at_rest: Annotated[
        list[str],
        typer.Option(
            metavar="GRAPH_ID",
            help="With --repair: this graph has no run in progress, so remove all its unreferenced values.",
        ),
    ] = [],  # noqa: B006
    yes: Yes = False,
    imports: Imports = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Find damage and leftovers in a store, and repair it. Leftovers are files left behind by crashed writers.

    Exit code 1 if there is something left to repair.
    """
    if at_rest and not repair:
        refuse("--at-rest needs --repair.")
    import_all(imports)
    seen = wait_for(_examine(url, repair, at_rest, yes=yes, raw=not imports))
    if as_json:
        say_json(
            {
                "verification": _content(seen.found),
                "leftovers": seen.leftovers,
                "repaired": seen.repaired,
                "freed": seen.freed,
            }
        )
    else:
        _print_examination(seen)
        _tell_of_types(imports)
    end(fine=seen.is_well)


@dataclass(slots=True)
class _Examination:
    found: Verification
    leftovers: list[str]
    repaired: list[str] = field(default_factory=list)
    """The ids of the checkpoints that were deleted, and the names of the leftovers that were removed."""
    freed: int = 0
    """How many large values were removed."""
    is_repaired: bool = False

    @property
    def is_well(self) -> bool:
        """Whether nothing is left to repair."""
        if self.found.unlisted:
            return False
        return self.is_repaired or not (self.found.damaged or self.found.orphans or self.leftovers)


async def _examine(url: str, repair: bool, at_rest: Sequence[str], *, yes: bool, raw: bool) -> _Examination:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        await check_graphs(store, at_rest)
        manager = CheckpointManager(store)
        with bar("examining") as report:
            seen = _Examination(await manager.verify(raw=raw, report=report), await store.leftovers())
        if repair:
            if not yes and (at_rest or not seen.is_well):
                confirm(_question(seen, at_rest))
            await _repair(seen, store, manager, at_rest)
        return seen


def _question(seen: _Examination, at_rest: Sequence[str]) -> str:
    found = [
        ("damaged checkpoint", len(seen.found.damaged)),
        ("leftover", len(seen.leftovers)),
        ("unreferenced large value", len(seen.found.orphans)),
    ]
    what = [counted(count, noun) for noun, count in found if count]
    if at_rest:
        what.append(f"whatever no checkpoint of {', '.join(map(repr, at_rest))} refers to")
    return f"Delete {' and '.join(what)}?" if what else "None of this can be repaired. Look for leftovers anyway?"


async def _repair(
    seen: _Examination, store: CheckpointBackend, manager: CheckpointManager, at_rest: Sequence[str]
) -> None:
    damaged = [info.checkpoint_id for info, _ in seen.found.damaged]
    deleted = [each for each in damaged if await manager.delete_checkpoint(each)]
    for graph_id in sorted({graph_id for graph_id, _ in seen.found.orphans} - {*at_rest}):
        seen.freed += await manager.remove_orphans(graph_id, at_rest=False)
    for graph_id in dict.fromkeys(at_rest):
        seen.freed += await manager.remove_orphans(graph_id)
    removed = await store.leftovers(remove=True)
    seen.repaired = [*deleted, *removed]
    seen.is_repaired = deleted == damaged and {*seen.leftovers} <= {*removed}


def _content(found: Verification) -> dict[str, Any]:
    return {
        "intact": found.intact,
        "damaged": [_line(info, error) for info, error in found.damaged],
        "unreadable": [_line(info, error) for info, error in found.unreadable],
        "unlisted": [asdict(damaged) for damaged in found.unlisted],
        "orphans": [{"graph_id": graph_id, "name": name} for graph_id, name in found.orphans],
    }


def _line(info: CheckpointInfo, error: SparkError) -> dict[str, Any]:
    return {
        "graph_id": info.graph_id,
        "sequence": info.sequence,
        "checkpoint_id": info.checkpoint_id,
        "reason": str(error),
    }


def _print_examination(seen: _Examination) -> None:
    _print(seen.found)
    for each in seen.leftovers:
        say(f"leftover: {each}")
    for each in seen.repaired:
        say(f"removed: {each}")
    if seen.freed:
        say(f"large values removed: {seen.freed}")


def _tell_of_types(imports: Sequence[str]) -> None:
    if not imports:
        tell("spark: what is stored was checked without the program's types; --import my_app checks these, too.")


def _print(found: Verification) -> None:
    counts = f"{found.intact} intact, {len(found.damaged)} damaged"
    say(f"{counts}, {len(found.unreadable)} not readable here" if found.unreadable else counts)
    for _, damage in found.damaged:
        say(f"damaged: {damage}")
    for damaged in found.unlisted:
        say(f"damaged: {damaged.reason}")
    for _, error in found.unreadable:
        say(f"not readable here: {error}")
    for graph_id, name in found.orphans:
        say(f"unreferenced: large value {name} of graph {graph_id!r}")
