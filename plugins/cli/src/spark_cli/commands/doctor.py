"""``spark doctor`` and ``spark checkpoints verify``: is a store healthy, and if not, shall it be mended?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spark_cli.ending import end
from spark_cli.meters import meter
from spark_cli.output import print_json
from spark_cli.stores import Url, opened_store, wait_for
from spark_cli.targets import Imports, import_all

if TYPE_CHECKING:
    from spark_cli.verification import Verification

Json = Annotated[bool, typer.Option("--json", help="For scripts.")]


def verify(
    graph_id: Annotated[str, typer.Argument(metavar="[GRAPH_ID]", help="Only of this graph.", show_default=False)] = "",
    url: Url = "",
    imports: Imports = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Load every checkpoint, and say which are damaged. Exit code 1 when one is. Nothing is changed."""
    import_all(imports)
    found = wait_for(_verify(url, graph_id))
    if as_json:
        print_json(found)
    else:
        _print(found)
    end(fine=found.is_fine)


async def _verify(url: str, graph_id: str) -> Verification:
    from spark_cli.verification import verify

    with meter("verifying") as report:
        async with opened_store(url) as store:
            return await verify(store, graph_id=graph_id or None, report=report)


def examine(
    url: Url = "",
    mend: Annotated[bool, typer.Option("--mend", help="Delete what is damaged, and remove leftovers.")] = False,
    imports: Imports = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Look for damaged checkpoints, and for what dead writers left. Exit code 1 when there is something left to mend."""
    import_all(imports)
    found, leftovers, mended = wait_for(_examine(url, mend))
    if as_json:
        print_json({"verification": found, "leftovers": leftovers, "mended": mended})
    else:
        _print(found)
        for each in leftovers:
            typer.echo(f"leftover: {each}")
        for each in mended:
            typer.echo(f"removed: {each}")
    is_mended = len(mended) == len(found.damaged) + len(leftovers) and not found.unlisted
    end(fine=is_mended)


async def _examine(url: str, mend: bool) -> tuple[Verification, list[str], list[str]]:
    from spark.graphs.checkpoint import CheckpointManager
    from spark_cli.verification import verify

    with meter("looking") as report:
        async with opened_store(url) as store:
            found = await verify(store, graph_id=None, report=report)
            leftovers = await store.leftovers()
            if not mend:
                return found, leftovers, []
            manager = CheckpointManager(store)
            deleted = [each for each in found.damaged if await manager.delete_checkpoint(each.checkpoint_id)]
            return found, leftovers, [each.checkpoint_id for each in deleted] + await store.leftovers(remove=True)


def _print(found: Verification) -> None:
    counts = f"{found.intact} intact, {len(found.damaged)} damaged"
    typer.echo(f"{counts}, {len(found.unreadable)} not readable here" if found.unreadable else counts)
    for each in found.damaged:
        typer.echo(f"damaged: {each.reason}")
    for text in found.unlisted:
        typer.echo(f"damaged: {text}")
    for each in found.unreadable:
        typer.echo(f"not readable here: {each.reason}")
