"""``spark doctor`` and ``spark checkpoints verify``: is a store healthy, and if not, shall it be mended?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spark_cli.exit_codes import end, refuse
from spark_cli.options import Imports, Json, OneGraph, Url
from spark_cli.output import say, say_json
from spark_cli.progress import bar
from spark_cli.stores import opened_store, wait_for
from spark_cli.targets import import_all

if TYPE_CHECKING:
    from spark.errors import SparkError
    from spark.graphs.checkpoint import CheckpointBackend, CheckpointInfo, CheckpointManager, Verification


def verify(
    graph_id: OneGraph = "",
    url: Url = "",
    imports: Imports = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Load every checkpoint, and say which are damaged. Exit code 1 when one is. Nothing is changed."""
    import_all(imports)
    found = wait_for(_verify(url, graph_id))
    if as_json:
        say_json(_content(found))
    else:
        _print(found)
    end(fine=found.is_fine)


async def _verify(url: str, graph_id: str) -> Verification:
    from spark.graphs.checkpoint import CheckpointManager

    with bar("verifying") as report:
        async with opened_store(url) as store:
            return await CheckpointManager(store).verify(graph_id or None, report=report)


def examine(
    url: Url = "",
    mend: Annotated[
        bool, typer.Option("--mend", help="Delete what is damaged, and remove what nobody needs, also beside runs.")
    ] = False,
    at_rest: Annotated[
        list[str],
        typer.Option(
            metavar="GRAPH_ID",
            help="With --mend: no run of this graph is under way; remove all its large values that no checkpoint needs.",
        ),
    ] = [],  # noqa: B006
    imports: Imports = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Look for what is damaged, and for what dead writers left. Exit code 1 when there is something left to mend."""
    if at_rest and not mend:
        refuse("--at-rest says what --mend may remove; give both.")
    import_all(imports)
    seen = wait_for(_examine(url, mend, at_rest))
    if as_json:
        say_json(
            {
                "verification": _content(seen.found),
                "leftovers": seen.leftovers,
                "mended": seen.mended,
                "freed": seen.freed,
            }
        )
    else:
        _print_examination(seen)
    end(fine=seen.is_well)


@dataclass(slots=True)
class _Examination:
    found: Verification
    leftovers: list[str]
    mended: list[str] = field(default_factory=list)
    """The ids of the checkpoints that were deleted, and the names of the leftovers that were removed."""
    freed: int = 0
    """How many large values were removed."""
    is_mended: bool = False

    @property
    def is_well(self) -> bool:
        """Whether nothing is left to mend."""
        if self.found.unlisted:
            return False
        return self.is_mended or not (self.found.damaged or self.found.orphans or self.leftovers)


async def _examine(url: str, mend: bool, at_rest: Sequence[str]) -> _Examination:
    from spark.graphs.checkpoint import CheckpointManager

    with bar("looking") as report:
        async with opened_store(url) as store:
            manager = CheckpointManager(store)
            seen = _Examination(await manager.verify(report=report), await store.leftovers())
            if mend:
                await _mend(seen, store, manager, at_rest)
            return seen


async def _mend(
    seen: _Examination, store: CheckpointBackend, manager: CheckpointManager, at_rest: Sequence[str]
) -> None:
    damaged = [info.checkpoint_id for info, _ in seen.found.damaged]
    deleted = [each for each in damaged if await manager.delete_checkpoint(each)]
    for graph_id in sorted({graph_id for graph_id, _ in seen.found.orphans} - {*at_rest}):
        seen.freed += await manager.remove_orphans(graph_id, at_rest=False)
    for graph_id in dict.fromkeys(at_rest):
        seen.freed += await manager.remove_orphans(graph_id)
    removed = await store.leftovers(remove=True)
    seen.mended = [*deleted, *removed]
    seen.is_mended = deleted == damaged and {*seen.leftovers} <= {*removed}


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
    for each in seen.mended:
        say(f"removed: {each}")
    if seen.freed:
        say(f"large values removed: {seen.freed}")


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
        say(f"needed by no checkpoint: large value {name} of graph {graph_id!r}")
