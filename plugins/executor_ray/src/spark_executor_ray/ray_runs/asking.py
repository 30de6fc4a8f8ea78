"""What programs ask of Ray: to begin runs, continue them, and end them. How they ended is read from the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Any, Final, Unpack

from spark.errors import RunError
from spark_executor_ray.ray_runs import on_ray
from spark_executor_ray.ray_runs.plan import RunOptions, RunPlan
from spark_executor_ray.ray_runs.targets import chosen
from spark_executor_ray.resources import lacking

_LOG: Final = logging.getLogger("spark.ray_runs")


async def submit(
    target: str,
    *,
    graph_id: str,
    inputs: Mapping[str, Any] | None = None,
    url: str | None = None,
    prefix: str = "",
    **options: Unpack[RunOptions],
) -> bool:
    """Submit a durable run to Ray. It continues even if this program ends, or the machine that executes it dies.

    When this returns, the run is stored with its inputs; it is executed elsewhere. After an error you can submit it again: a
    graph id that has a run keeps it.

    :param target: the function that makes the graph for a graph id, ``"my_app:build_graph"``; Ray's workers import it.
    :param inputs: what the start node receives.
    :param url: of the store, which every machine must reach. None: ``SPARK_CHECKPOINT_URL`` of this process, or the settings of
        Ray's workers.
    :param prefix: the prefix of the ids of all runs with these options. Other runs in the same store may have other options.
    :param options: see ``RunOptions``; they apply to all runs with this prefix.
    :return: whether it was stored; False if the graph id has a run with these inputs, begun or complete.
    :raises InputConflictError: it has one with other inputs.
    :raises GraphDefinitionError: Ray's workers can't import the function, it makes no such graph, or an argument can't be used.
    :raises RunError: Ray is not connected, or the runs with this prefix have other options.
    :raises CheckpointError: the run could not be stored.
    """
    plan = RunPlan.of(target, url=chosen(url), prefix=prefix, options=options)
    plan.check_id(graph_id)
    return bool(await _with_supervisor(plan, options, "submit", graph_id, dict(inputs or {})))


async def start(target: str, *, url: str | None = None, prefix: str = "", **options: Unpack[RunOptions]) -> None:
    """Continue every run in the store that can continue, drained ones included: after a cluster was lost, or after ``stop``.

    Arguments and errors are those of ``submit``, which also continues all runs except drained ones.
    """
    await _with_supervisor(RunPlan.of(target, url=chosen(url), prefix=prefix, options=options), options, "start")


async def resume(graph_id: str, *, url: str | None = None) -> None:
    """Continue a run that failed, or was cancelled, drained or given up.

    :raises RunError: Ray is not connected, or nothing supervises runs of this id.
    """
    await _ask(graph_id, url, "resume")


async def cancel(graph_id: str, *, url: str | None = None) -> str:
    """Cancel a run, whether it is executing, waiting or queued. It can be resumed.

    :return: its status after that: ``"cancelled"``, or the one it had ended with; ``""`` if there is no run.
    :raises RunError: Ray is not connected, or nothing supervises runs of this id.
    """
    return str(await _ask(graph_id, url, "cancel"))


async def drain(graph_id: str, *, url: str | None = None) -> str:
    """Stop a run at its next boundary, or keep it from continuing, until it is resumed.

    An executing run sees this when it renews its claim, within a third of ``claim_ttl``, and its nodes get 20 seconds
    to finish.

    :return: its status after that: ``"drained"``, or the one it had ended with; ``""`` if there is no run.
    :raises RunError: Ray is not connected, or nothing supervises runs of this id.
    """
    return str(await _ask(graph_id, url, "drain"))


async def stop(*, url: str | None = None, prefix: str = "") -> bool:
    """Drain the runs of a supervisor, and end it. ``start`` continues them, here or on another cluster.

    :return: whether there was one.
    :raises RunError: Ray is not connected, or the supervisor does not answer.
    """
    on_ray.check_connected()
    supervisor = await asyncio.to_thread(on_ray.find_supervisor, chosen(url), prefix)
    if supervisor is None:
        return False
    await on_ray.asked(supervisor, "stop")
    await asyncio.to_thread(on_ray.end_supervisor, supervisor)
    return True


async def troubles(*, url: str | None = None) -> dict[str, str]:
    """The runs that were given up because they ended again and again without a checkpoint, and why, by graph id.

    For instance, their process died each time, or the function that makes their graph raised an error. ``resume`` tries them
    again.
    """
    found: dict[str, str] = {}
    for of_one in await _ask_all(url, "troubles"):
        found |= of_one
    return found


async def in_hand(graph_ids: Collection[str], *, url: str | None) -> set[str]:
    """Those of these runs that Ray executes, or is about to, whatever their status in the store is."""
    return {graph_id for of_one in await _ask_all(url, "in_hand", [*graph_ids]) for graph_id in of_one}


async def _ask_all(url: str | None, what: str, *arguments: Any) -> list[Any]:
    on_ray.check_connected()
    answers = []
    for prefix in await asyncio.to_thread(on_ray.supervisors, chosen(url)):
        supervisor = await asyncio.to_thread(on_ray.find_supervisor, chosen(url), prefix)
        if supervisor is not None:
            answers.append(await on_ray.asked(supervisor, what, *arguments))
    return answers


async def _with_supervisor(plan: RunPlan, options: Mapping[str, Any], what: str, *arguments: Any) -> Any:
    """Ask the supervisor, which is started if it is not there; and ended again where it can't do that."""
    on_ray.check_connected()
    supervisor, is_new = await asyncio.to_thread(on_ray.get_supervisor, plan)
    if is_new:
        await asyncio.to_thread(_warn_of_lack, plan)
    try:
        return await on_ray.asked(supervisor, what, *arguments, target=plan.target, options=options)
    except Exception:
        if is_new:  # or a misspelt target would have to be stopped before the right one is used
            await asyncio.to_thread(on_ray.end_supervisor, supervisor)
        raise


def _warn_of_lack(plan: RunPlan) -> None:
    wanted = lacking({"num_cpus": plan.num_cpus, "num_gpus": plan.num_gpus, "resources": plan.resources})
    if wanted:
        _LOG.warning(
            "No machine of the Ray cluster has %s, which each run of %r reserves. They wait until one joins that has. If none "
            "will, call ray_runs.stop(), and ask for less.",
            wanted,
            plan.target,
        )


async def _ask(graph_id: str, url: str | None, what: str) -> Any:
    on_ray.check_connected()
    supervisor = await asyncio.to_thread(on_ray.find_supervisor, chosen(url), graph_id)
    if supervisor is None:
        raise RunError(
            f"Nothing on this cluster supervises the run of graph {graph_id!r}. Call ray_runs.start('module:function') with the "
            "url and the prefix of its runs first."
        )
    return await on_ray.asked(supervisor, what, graph_id)
