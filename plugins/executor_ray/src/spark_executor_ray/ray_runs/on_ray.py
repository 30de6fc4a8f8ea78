"""Where runs meet Ray: the tasks that execute them, and the actor that supervises them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError, TaskCancelledError

from spark.errors import RunError
from spark.graphs.checkpoint import CheckpointManager
from spark_executor_ray.ray_runs import tasks
from spark_executor_ray.ray_runs.outcomes import Ended, Refusal, in_short
from spark_executor_ray.ray_runs.plan import RunPlan, store_name
from spark_executor_ray.ray_runs.supervising import Supervisor
from spark_executor_ray.ray_runs.targets import opened_store
from spark_executor_ray.ray_runs.worker import Ending

NAMESPACE: Final = "spark-graphs"
"""That of the supervisors: the same for all programs."""
_STORES: Final = 3
"""How often Ray tries again to store new runs, or to end one, when the process dies in which it did."""
_CALLS: Final = 10_000
"""Calls of a supervisor that may wait for their answers at the same time."""


class RayTask:
    """A run as a task of Ray."""

    def __init__(self, reference: ray.ObjectRef[Ended]) -> None:
        self._reference = reference

    async def ended(self) -> Ended:
        """How it left its task; a process that died too often is ``"broken"``."""
        try:
            return await self._reference
        except TaskCancelledError as error:
            return Ended("cancelled", in_short(error))
        except RayError as error:
            return Ended("broken", in_short(error))

    def cancel(self) -> None:
        """As Ctrl-C in its process does; a task that has not begun never begins."""
        ray.cancel(self._reference)


class RayWorkers:
    """Ray's workers, with what the plan reserves for runs."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        environment = {"runtime_env": dict(plan.runtime_env)} if plan.runtime_env else {}
        self._execute = ray.remote(tasks.execute)
        self._reserved = {
            "num_cpus": plan.num_cpus,
            "num_gpus": plan.num_gpus,
            "resources": dict(plan.resources),
            "max_retries": plan.max_restarts,
            "retry_exceptions": False,
            **environment,
        }
        beside = {"num_cpus": 0, "max_retries": _STORES, "retry_exceptions": False, **environment}
        self._store_new = ray.remote(tasks.store_new).options(**beside)
        self._end = ray.remote(tasks.end).options(**beside)

    def execute(self, graph_id: str) -> RayTask:
        """Hand a run to Ray, which restarts it elsewhere when its process or machine dies."""
        return RayTask(self._execute.options(name=f"run {graph_id}", **self._reserved).remote(self._plan, graph_id))

    async def store_new(self, new: Sequence[tuple[str, Mapping[str, Any]]]) -> Sequence[bool | Refusal] | Refusal:
        """Store new runs in a process of its own, so that code of users which crashes it harms nobody else."""
        stored: Sequence[bool | Refusal] | Refusal = await self._store_new.remote(self._plan, new)
        return stored

    async def end(self, graph_id: str, how: Ending) -> Ended:
        """Have a run saved as ended that nobody executes."""
        return await RayTask(self._end.remote(self._plan, graph_id, how)).ended()


class SupervisorActor:
    """A ``Supervisor`` as an actor that outlives whoever started it. It keeps nothing that the store does not have.

    What its methods would raise they return, as a ``Refusal``.
    """

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._supervisor: asyncio.Future[Supervisor] | None = None
        self._life: asyncio.Task[None] | None = None
        ray.get_runtime_context().current_actor.ask.remote("look_now")  # it goes on by itself where it was restarted

    async def ask(self, what: str, *arguments: Any, **asked: Any) -> Any:
        """Call a method of the supervisor.

        :param asked: target and options, where the runs have to be run like that.
        """
        try:
            if asked:
                self._plan.check_asked(**asked)
            answer = getattr(await self._ready(), what)(*arguments)
            return await answer if isinstance(answer, Awaitable) else answer
        except Exception as error:
            return Refusal.of(error, about=f"The supervisor of {self._plan.target!r}")

    async def _ready(self) -> Supervisor:
        """The supervisor, which is made at the first call, where there is an event loop."""
        if self._supervisor is None:
            self._supervisor = asyncio.get_running_loop().create_future()
            self._life = asyncio.create_task(self._live(self._supervisor))
        return await asyncio.shield(self._supervisor)

    async def _live(self, made: asyncio.Future[Supervisor]) -> None:
        try:
            async with opened_store(self._plan.url) as store:
                supervisor = Supervisor(self._plan, RayWorkers(self._plan), CheckpointManager(store))
                made.set_result(supervisor)
                await supervisor.supervise()
                await supervisor.stopped()
        except Exception as error:
            if made.done():
                raise
            made.set_exception(error)


Handle: TypeAlias = "ActorHandle[Any]"


def check_connected() -> None:
    """Whether this program is connected to a cluster. Ray would start one of its own, which ends with this program.

    :raises RunError: it is not.
    """
    if not ray.is_initialized():
        raise RunError(
            "Ray is not connected. Call ray.init() first: with address='auto' on a machine of a cluster, or with its address."
        )


def supervisors(url: str | None) -> dict[str, str]:
    """Those that the cluster has for a store: prefix to name."""
    actors = ray.util.list_named_actors(all_namespaces=True)
    names = [each["name"] for each in actors if each["namespace"] == NAMESPACE]
    return {name.partition(":")[2]: name for name in names if name.startswith(f"{store_name(url)}:")}


def find_supervisor(url: str | None, graph_id: str) -> Handle | None:
    """The one to which a graph id belongs, if it is there."""
    for prefix, name in supervisors(url).items():
        if graph_id.startswith(prefix):
            with suppress(ValueError):  # it has ended just now
                return ray.get_actor(name, namespace=NAMESPACE)
    return None


def get_supervisor(plan: RunPlan) -> tuple[Handle, bool]:
    """The supervisor of these runs, and whether it was started for this.

    :raises RunError: there is one for some of their ids.
    """
    others = supervisors(plan.url)
    with suppress(ValueError):
        return ray.get_actor(plan.name, namespace=NAMESPACE), False
    for prefix in others:
        if prefix.startswith(plan.prefix) or plan.prefix.startswith(prefix):
            raise RunError(
                f"prefix={plan.prefix!r}: runs with ids that begin with {prefix!r} have a supervisor of their own in this store, "
                "and each run has one. Give a prefix that none of the others begins with, and that begins with none of them."
            )
    actor = ray.remote(SupervisorActor).options(
        name=plan.name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        max_concurrency=_CALLS,
        **({"runtime_env": dict(plan.runtime_env)} if plan.runtime_env else {}),
    )
    made: Any = actor.remote(plan)
    return made, True


def end_supervisor(supervisor: Handle) -> None:
    """End its process. What it ran is killed."""
    ray.kill(supervisor)


async def asked(supervisor: Handle, what: str, *arguments: Any, **asked: Any) -> Any:
    """What a method of a supervisor returns.

    :raises SparkError: the method raised it, or the supervisor can't be reached.
    """
    try:
        answer = await supervisor.ask.remote(what, *arguments, **asked)
    except RayError as error:
        raise RunError(
            f"The supervisor of these runs did not answer ({type(error).__name__}). What was stored is safe: call it again."
        ) from error
    if isinstance(answer, Refusal):
        raise answer.error()
    return answer
