"""What Ray's workers do for runs: store new ones, execute them, and end those that nobody executes.

Each function opens the store, imports the factory by its name, and returns plain values; none of them knows Ray. ``tasks``
has what Ray calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

from spark.errors import CheckpointConflictError, ClaimedError, SparkError
from spark.graphs import Graph, Message
from spark.graphs.checkpoint import CheckpointBackend, CheckpointManager, Claim, RunInfo
from spark_executor_ray.ray_runs.outcomes import Ended, Refusal, in_short
from spark_executor_ray.ray_runs.plan import RunPlan
from spark_executor_ray.ray_runs.targets import built, find_builder, opened_store

Ending = Literal["cancelled", "drained"]


async def store_new(plan: RunPlan, new: Sequence[tuple[str, Mapping[str, Any]]]) -> list[bool | Refusal] | Refusal:
    """Store new runs, by graph id and inputs: of each whether it was stored, as ``Graph.submit`` says, or why it can't be.

    Without any, it says whether the factory and the store can be used.
    """
    try:
        build = find_builder(plan.target)
        async with opened_store(plan.url) as store:

            async def store_one(graph_id: str, inputs: Mapping[str, Any]) -> bool | Refusal:
                try:
                    return await (await built(build, graph_id, store=store, target=plan.target)).submit(inputs)
                except Exception as error:
                    return Refusal.of(error, about=f"{plan.target!r}, called with {graph_id!r},")

            return [await store_one(*each) for each in new]
    except Exception as error:
        return Refusal.of(error, about=f"Getting {plan.target!r} and its store ready")


async def execute(plan: RunPlan, graph_id: str) -> Ended:
    """Resume a run, and execute it until it is over, or all that is left waits."""
    try:
        build = find_builder(plan.target)
        async with opened_store(plan.url) as store:
            # Ray interrupts runs whose supervisor or machine goes away. In the store they stay those of a process that has died,
            # so that they are resumed; `end` alone writes that a run was cancelled.
            graph = await built(build, graph_id, store=store, target=plan.target, trigger_on_cancel=False)
            try:
                most = plan.max_restarts if plan.max_restarts >= 0 else None
                message = await _run(graph, Claim(ttl=plan.claim_ttl, max_restarts=most))
                return Ended(message.status)
            except (ClaimedError, CheckpointConflictError) as error:
                return Ended("elsewhere", str(error))
            except Exception as error:
                return await _failed(store, graph_id, error)
    except Exception as error:
        return Ended("broken", in_short(error))


async def _run(graph: Graph, claim: Claim) -> Message:
    """Run it, and wait once for a claim to expire: that of the process in which this run was until its machine died."""
    try:
        return await graph.run(resume=True, wait=False, claim=claim)
    except ClaimedError as error:
        left = (error.expires - datetime.now(UTC)).total_seconds() if error.expires is not None else 0.0
        await asyncio.sleep(max(0.0, min(left, 2 * claim.ttl)))
    return await graph.run(resume=True, wait=False, claim=claim)


async def _failed(store: CheckpointBackend, graph_id: str, error: Exception) -> Ended:
    """What became of a run that raised: what the store says, where it says something."""
    with suppress(SparkError):
        run = await latest_run(store, graph_id)
        if run is not None and run.status in ("failed", "budget", "cancelled"):
            return Ended(run.status, in_short(error))
    return Ended("broken", in_short(error))


async def latest_run(store: CheckpointBackend, graph_id: str) -> RunInfo | None:
    """The latest run of a graph; None where it has none."""
    found = await CheckpointManager(store).runs(prefix=graph_id, limit=1)  # of all that begin so, it is the first
    return found[0] if found and found[0].graph_id == graph_id else None


async def end(plan: RunPlan, graph_id: str, how: Ending) -> Ended:
    """End a run that nobody executes, before its next step: it is claimed, and saved as cancelled or drained."""
    build = find_builder(plan.target)
    async with opened_store(plan.url) as store:
        graph = await built(build, graph_id, store=store, target=plan.target, trigger_on_cancel=True)
        claim = Claim(ttl=plan.claim_ttl, max_restarts=None)
        async with graph.watch(only=("run_started", "run_resumed"), overflow="block") as beginning:
            run = asyncio.create_task(graph.run(resume=True, wait=False, claim=claim))
            await asyncio.sleep(0)
            graph.drain(f"{how} on Ray", grace=0)  # in any case no step begins
            if how == "cancelled":
                begun = asyncio.create_task(anext(aiter(beginning), None))
                await asyncio.wait((run, begun), return_when=asyncio.FIRST_COMPLETED)
                run.cancel()
                begun.cancel()
            await asyncio.wait((run,))
        latest = await latest_run(store, graph_id)
        if not run.cancelled() and (error := run.exception()) is not None:
            return Ended(latest.status if latest is not None else "broken", in_short(error))
        return Ended(latest.status if latest is not None else "broken")
