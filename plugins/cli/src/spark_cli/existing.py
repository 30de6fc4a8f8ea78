"""Does what a command names exist in the store? If not, the command ends with exit code 2, and says what is near."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NoReturn

from spark_cli.exit_codes import refuse

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointBackend, CheckpointManager, GraphCheckpoint

_MOST: Final = 500
"""Ids that are looked at of those with one beginning."""
_SIMILAR: Final = 0.7
"""Ids are alike from this on, of 1: those of one store often begin alike."""


async def check_graphs(store: CheckpointBackend, graph_ids: Iterable[str]) -> None:
    """Refuse graph ids that the store has never heard of."""
    for graph_id in graph_ids:
        if graph_id and not await is_known(store, graph_id):
            refuse_graph(graph_id, await _near(store, graph_id), where="in this store")


async def is_known(store: CheckpointBackend, graph_id: str) -> bool:
    """Whether a graph has checkpoints, had some, or was sent messages."""
    from spark.errors import CheckpointDamagedError
    from spark.graphs.checkpoint.storage import DERIVED_KINDS, derived_id

    try:
        for each in (graph_id, *(derived_id(kind, graph_id) for kind in DERIVED_KINDS)):
            if await store.next_sequence(each) > 1:
                return True
        return await store.latest(graph_id) is not None
    except CheckpointDamagedError:
        return True


def refuse_graph(graph_id: str, known: Iterable[str], *, where: str) -> NoReturn:
    """End with exit code 2: there is no such graph. The nearest ids among those that are known are named."""
    spelt = {each.casefold(): each for each in sorted({*known})}
    near = [repr(spelt[each]) for each in get_close_matches(graph_id.casefold(), [*spelt], n=3, cutoff=_SIMILAR)]
    hint = f" Did you mean {_either(near)}?" if near else " `spark runs` shows which there are."
    refuse(f"there is no graph {graph_id!r} {where}.{hint}")


async def check_checkpoint(store: CheckpointBackend, checkpoint_id: str) -> None:
    """Refuse an id that no checkpoint has."""
    if await store.find(checkpoint_id) is None:
        refuse(await why_missing(store, checkpoint_id))


async def load(store: CheckpointBackend, checkpoint_id: str, *, raw: bool = False) -> GraphCheckpoint:
    """The checkpoint; with exit code 2, what is near, where there is none with this id."""
    from spark.errors import CheckpointNotFoundError
    from spark.graphs.checkpoint import CheckpointManager

    try:
        found = await CheckpointManager(store).load_checkpoint(checkpoint_id, raw=raw)
    except CheckpointNotFoundError:
        refuse(await why_missing(store, checkpoint_id))
    return found


async def why_missing(store: CheckpointBackend, checkpoint_id: str) -> str:
    """That there is no checkpoint with this id, and which ones are near."""
    hint = await _near_checkpoint(store, checkpoint_id)
    return f"there is no checkpoint {checkpoint_id!r} in this store.{hint or ' `spark checkpoints list` shows which there are.'}"


def _either(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


async def _near_checkpoint(store: CheckpointBackend, checkpoint_id: str) -> str:
    from spark.errors import SparkError
    from spark.graphs.checkpoint import CheckpointManager
    from spark.graphs.checkpoint.storage import parse_automatic_id

    manager, address = CheckpointManager(store), parse_automatic_id(checkpoint_id)
    with suppress(SparkError):  # a guess that fails is none
        if address is not None and (latest := await store.latest(address[0])) is not None:
            return f" The latest one of graph {address[0]!r} is {latest.checkpoint_id}."
        near = get_close_matches(
            checkpoint_id, await _some_checkpoint_ids(manager, store, address), n=1, cutoff=_SIMILAR
        )
        return f" Did you mean {near[0]!r}?" if near else ""
    return ""


async def _some_checkpoint_ids(
    manager: CheckpointManager, store: CheckpointBackend, address: tuple[str, int] | None
) -> list[str]:
    """Ids that somebody may have meant: the same place in graphs with a similar id, or the newest ones of the store."""
    from spark.graphs.checkpoint.storage import CheckpointQuery, automatic_id

    if address is not None:
        graph_ids = get_close_matches(address[0], await _near(store, address[0]), n=3, cutoff=_SIMILAR)
        ids = [automatic_id(graph_id, address[1]) for graph_id in graph_ids]
        return [each for each in ids if await store.find(each) is not None]
    newest = await manager.listing(CheckpointQuery(limit=_MOST, newest_first=True))
    return [info.checkpoint_id for info in newest.infos]


async def _near(store: CheckpointBackend, graph_id: str) -> list[str]:
    """Some graph ids, those that begin alike among them: a store may have a hundred thousand, which nobody waits for."""
    from spark.graphs.checkpoint import CheckpointManager

    manager, size = CheckpointManager(store), len(graph_id)
    found: dict[str, None] = {}
    for length in dict.fromkeys((max(size - 2, 0), max(size - 4, 0), size * 2 // 3, size // 3, 0)):
        beginning = graph_id[:length]
        found |= dict.fromkeys(await manager.graph_ids(beginning, limit=_MOST))
    return [*found]
