"""The stores that crash harnesses write to: made from a URL, and examined after each kill."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from functools import partial

from spark.graphs.checkpoint import CheckpointBackend, CheckpointManager, backend_class
from spark_testing.children import threads_left, threads_now
from tests.crash.worker_graph import KEPT, complaint_about

MOST_ORPHANS = 200
"""Large values that killed writers leave behind until a later one collects garbage."""

MakeBackend = Callable[..., CheckpointBackend]
"""Options of the backend to a new one."""
_PATIENCE = 30


def maker(url: str, *, named: str = "") -> MakeBackend:
    """What makes the backend of a URL.

    :param named: ``module:Class``, for another class than the one that is installed for this URL.
    """
    # Imported and looked at now, in the parent: what that reads from disk is not read again in every child.
    kind = _imported(named) if named else backend_class(url)
    before = threads_now()
    asyncio.run(_look_at(kind.from_url(url)))
    assert not threads_left(before, seconds=_PATIENCE), "threads that looked at the store do not end"
    return partial(kind.from_url, url)


async def _look_at(backend: CheckpointBackend) -> None:
    async with backend:
        await backend.list("nothing")


async def complaint_about_store(make: MakeBackend, graph_id: str, acknowledged: int, *, kept: int = KEPT) -> str:
    """What is wrong with the checkpoints of a graph, or ``""``.

    :param acknowledged: the highest sequence that its writer was told is durable.
    :param kept: how many its retention keeps.
    """
    async with make() as backend:
        return await complaint_about_graph(backend, graph_id, acknowledged, kept=kept)


async def complaint_about_graph(
    backend: CheckpointBackend, graph_id: str, acknowledged: int, *, kept: int = KEPT
) -> str:
    """What is wrong with the checkpoints of a graph, or ``""``.

    :param acknowledged: the highest sequence that its writer was told is durable.
    :param kept: how many its retention keeps.
    """
    manager = CheckpointManager(backend)
    infos = await manager.list_checkpoints(graph_id)
    if acknowledged and (not infos or infos[-1].sequence < acknowledged):
        return f"checkpoint {acknowledged} was acknowledged, but the latest is {infos[-1:] or 'none'}"
    stored = {info.sequence for info in infos}
    # What a store saved last may have taken along what it makes room for, before anybody was told.
    first_kept = max(stored, default=0) - kept + 1
    lost = [sequence for sequence in range(max(first_kept, 1), acknowledged + 1) if sequence not in stored]
    if lost:
        return f"checkpoints {lost} were acknowledged and are gone"
    chains, steps = [""], 0
    needed: set[str] = set()
    for info in infos:
        checkpoint = await manager.load_checkpoint(info.checkpoint_id)
        complaint = complaint_about(checkpoint, chains)
        if complaint:
            return f"{info.checkpoint_id}: {complaint}"
        record = await backend.get(graph_id, info.sequence)
        needed |= {ref.name for ref in backend.record_codec.references(record)} if record is not None else set()
        earlier, steps = steps, checkpoint.execution_metadata["iteration"]
        # A run that has used up its budget saves where it stands once more, and says so.
        is_again = checkpoint.execution_metadata["reason"] == "budget" and steps == earlier
        if steps <= earlier and not is_again:
            return f"{info.checkpoint_id} holds step {steps}, as the one before it does: it is stored twice"
    orphans = {*await backend.blob_names(graph_id)} - needed
    if len(orphans) > MOST_ORPHANS:
        return (
            f"{len(orphans)} large values are stored that none of {len(infos)} checkpoints needs: nobody removes them"
        )
    return ""


def _imported(named: str) -> type[CheckpointBackend]:
    module, _, name = named.partition(":")
    kind: type[CheckpointBackend] = getattr(importlib.import_module(module), name)
    return kind
