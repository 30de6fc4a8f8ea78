"""What became of runs: read from the store, so that any program can, with Ray or without."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from spark.errors import RunError
from spark.graphs.checkpoint import CheckpointManager, RunInfo
from spark_executor_ray.ray_runs.targets import chosen, opened_store
from spark_executor_ray.ray_runs.worker import latest_run

_UNDER_WAY: Final = ("queued", "running", "waiting", "edited", "forked")
"""The statuses of runs that continue by themselves."""
_LOOKS_PER_TROUBLE: Final = 10
"""So often the store is looked at before Ray is asked whether runs were given up."""


async def status(graph_id: str, *, url: str | None = None) -> RunInfo | None:
    """The run of a graph id, as the store tells it; None where there is none.

    :raises StoreNotFoundError: there is no such store.
    """
    async with opened_store(chosen(url), create=False) as store:
        return await latest_run(store, graph_id)


async def list(
    status: str | Collection[str] | None = None,
    *,
    url: str | None = None,
    prefix: str = "",
    after: str | None = None,
    limit: int | None = None,
) -> Sequence[RunInfo]:
    """The runs in the store, in the order of their graph ids; arguments are those of ``CheckpointManager.runs``.

    :raises StoreNotFoundError: there is no such store.
    """
    async with opened_store(chosen(url), create=False) as store:
        return await CheckpointManager(store).runs(status, prefix=prefix, after=after, limit=limit)


async def result(graph_id: str, *, url: str | None = None) -> Any:
    """What a complete run returned.

    :raises RunError: it is not complete; names its status.
    :raises CheckpointDamagedError: what is stored is not what was written.
    """
    async with opened_store(chosen(url), create=False) as store:
        run = await latest_run(store, graph_id)
        if run is None:
            raise RunError(f"Graph {graph_id!r} has no run in this store. Check the graph id, and url=.")
        if run.status != "completed" or run.checkpoint_id is None:
            stands = f"it is {run.status!r}{f': {run.error}' if run.error else ''}"
            raise RunError(f"The run of graph {graph_id!r} has no result: {stands}.")
        frontier = (await CheckpointManager(store).load_checkpoint(run.checkpoint_id)).frontier or {}
        return (frontier.get("result") or {}).get("content")


async def wait(
    graph_ids: Iterable[str],
    *,
    url: str | None = None,
    timeout: float | None = None,  # noqa: ASYNC109
    poll: float = 1.0,
    monotonic: Callable[[], float] = time.monotonic,
) -> dict[str, RunInfo]:
    """Wait until none of these runs continues by itself: each has ended, was drained, or waits for an answer.

    :param timeout: seconds; None waits for as long as it takes.
    :param poll: the seconds between two reads of the store.
    :return: the runs by graph id.
    :raises TimeoutError: some are still running after that time.
    :raises RunError: a graph id has no run; or Ray, if this program is connected to it, has given one up: says why.
    """
    wanted = frozenset([graph_ids] if isinstance(graph_ids, str) else graph_ids)
    until = None if timeout is None else monotonic() + timeout
    looks = 0
    async with opened_store(chosen(url), create=False) as store:
        while True:
            runs = await CheckpointManager(store).runs(prefix=_common_prefix(wanted))
            found = {run.graph_id: run for run in runs if run.graph_id in wanted}
            left = sorted(id for id, run in found.items() if run.status in _UNDER_WAY)
            if missing := wanted - found.keys():
                raise RunError(f"Graph {min(missing)!r} has no run in this store: submit it first.")
            if not left:
                left = sorted(await _resumed([id for id, run in found.items() if run.status != "completed"], url))
            if not left:
                return found
            if until is not None and monotonic() >= until:
                raise TimeoutError(
                    f"{len(left)} of {len(wanted)} runs are still running after {timeout:g} s, {left[0]!r} for instance."
                )
            looks += 1
            if looks % _LOOKS_PER_TROUBLE == 0:
                await _check_troubles(left, url)
            await asyncio.sleep(poll)


def _common_prefix(graph_ids: Collection[str]) -> str:
    first, last = min(graph_ids, default=""), max(graph_ids, default="")
    return first[
        : next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    ]


async def _resumed(graph_ids: Collection[str], url: str | None) -> set[str]:
    """Those that somebody has resumed just now, as far as this program can know: the store does not tell as yet."""
    if not graph_ids or not _is_connected():
        return set()
    from spark_executor_ray.ray_runs.asking import in_hand

    return await in_hand(graph_ids, url=url)


async def _check_troubles(left: Sequence[str], url: str | None) -> None:
    """Raise if a run was given up, as far as this program can know."""
    if not _is_connected():
        return
    from spark_executor_ray.ray_runs.asking import troubles

    found = await troubles(url=url)
    for graph_id in left:
        if graph_id in found:
            raise RunError(
                f"The run of graph {graph_id!r} was given up: {found[graph_id]}. Once the cause is fixed, call ray_runs.resume()."
            )


def _is_connected() -> bool:
    """Whether this program is connected to Ray, which takes a second to import, and is not needed to read."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()
