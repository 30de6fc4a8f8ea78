"""What users choose as ``executor="ray"``: a step goes to a task of Ray, or to an actor of a pool, and its result comes back."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, ClassVar, Final

from spark.errors import ExecutorError, GraphDefinitionError
from spark.graphs.executors import Executor, StepChannel, StepHandle, StepInput
from spark_executor_ray.checks import check_amount, check_count, check_resources
from spark_executor_ray.executor.connection import Connection, connect, cpus, disconnect
from spark_executor_ray.executor.inbox import Inbox
from spark_executor_ray.executor.pool import ActorPool
from spark_executor_ray.executor.transport import is_large, packed_step
from spark_executor_ray.executor.under_way import ActorStep, RayStep
from spark_executor_ray.resources import lacking

_LOG = logging.getLogger("spark.graphs")
_CODE: Final = ("import", "cloudpickle")
_IN_FLIGHT: Final = 64
_FOR_EACH_CPU: Final = 4


class RayExecutor(Executor):
    """Executes plain nodes as tasks of Ray, and async ones in a pool of its actors, each of which runs many at a time.

    If Ray is initialised already, it is used as it is; else the first step initialises it. Ray itself repeats nothing: a lost
    worker is a failed attempt, and the node's ``retry=`` decides whether there is another one.

    :param address: what ``ray.init`` takes: ``"auto"`` for the cluster on this machine, ``"local"``, or the address of a cluster.
        None looks at ``RAY_ADDRESS``, and else starts Ray here, where it listens on the loopback interface.
    :param num_cpus: what each task takes of its machine, as in ``ray.remote``; 1, if it is not given. Actors take it as long as
        they live; 0, if it is not given.
    :param num_gpus: the same for GPUs. ``memory`` (bytes), ``resources``, ``accelerator_type``, ``label_selector`` and
        ``scheduling_strategy``: as in ``ray.remote``.
    :param runtime_env: the environment of the workers, as in ``ray.init``.
    :param max_in_flight: how many steps are submitted to Ray at a time, of all runs; the others wait here. If it is not given,
        64, or four for each CPU of the cluster, whichever is more.
    :param actors: the maximum number of actors.
    :param concurrency: how many steps run in one actor at a time.
    :param code: ``"import"`` sends nodes by the names under which workers import them, ``"cloudpickle"`` as they are.
    :param idle_seconds: how long an actor without steps is kept, and with it what it takes of its machine.
    :param init: more arguments of ``ray.init``, for an executor that initialises Ray.
    :raises GraphDefinitionError: an option is not valid.
    """

    name: ClassVar[str] = "ray"

    def __init__(
        self,
        address: str | None = None,
        *,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        memory: float | None = None,
        resources: Mapping[str, float] | None = None,
        accelerator_type: str | None = None,
        label_selector: Mapping[str, str] | None = None,
        scheduling_strategy: Any = None,
        runtime_env: Mapping[str, Any] | None = None,
        max_in_flight: int | None = None,
        actors: int = 2,
        concurrency: int = 100,
        code: str = "import",
        idle_seconds: float = 60.0,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        for name, count in _given(max_in_flight=max_in_flight, actors=actors, concurrency=concurrency).items():
            check_count("RayExecutor", name, count)
        amounts = _given(num_cpus=num_cpus, num_gpus=num_gpus, memory=memory, idle_seconds=idle_seconds)
        for name, amount in amounts.items():
            check_amount("RayExecutor", name, amount)
        if resources is not None:
            check_resources("RayExecutor", resources)
        if code not in _CODE:
            raise GraphDefinitionError(f"RayExecutor(code={code!r}): give one of {', '.join(map(repr, _CODE))}.")
        self._address = address
        self._runtime_env = dict(runtime_env or {})
        self._init = dict(init or {})
        self._is_bounded = max_in_flight is not None
        self.max_in_flight: int = max_in_flight or _IN_FLIGHT
        self.packs_code: bool = code == "cloudpickle"
        self._options = _given(
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            memory=memory,
            resources=dict(resources) if resources else None,
            accelerator_type=accelerator_type,
            label_selector=dict(label_selector) if label_selector else None,
            scheduling_strategy=scheduling_strategy,
        )
        self._actors = actors
        self._concurrency = concurrency
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._is_closed = False
        self._opening: Future[_Open] | None = None

    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        """Begin to execute a step in the cluster.

        :raises ExecutorError: Ray can't be reached, or does not take it.
        """
        opened = await self._opened()
        if self._is_closed:  # meanwhile
            raise ExecutorError("This RayExecutor was closed before the step began.")
        inbox = opened.connection.inbox(channel)
        try:
            call = packed_step(step, inbox.address)
            begin = opened.begin_in_actor if step.is_async else opened.begin_task
            if is_large(call):  # copied into the object store, which waits for room there
                return await asyncio.to_thread(begin, step, call, inbox)
            return begin(step, call, inbox)
        except BaseException:
            inbox.close()
            raise

    def pack(self, code: Any) -> bytes:
        """A node or function, by Ray's own cloudpickle."""
        from ray import cloudpickle

        made: bytes = cloudpickle.dumps(code)  # type: ignore[no-untyped-call]
        return made

    def close(self) -> None:
        """End what it has begun. Ray itself is shut down if an executor has initialised it, and no other one uses it any more."""
        with self._lock:
            self._is_closed = True
            opening, self._opening = self._opening, None
        if opening is not None:
            opening.add_done_callback(self._disconnect)

    def _disconnect(self, opening: Future[_Open]) -> None:
        if opening.exception() is None:
            opened = opening.result()
            opened.close()
            disconnect(opened.connection, self)

    def lose(self, why: str) -> None:
        """Ray is shut down: none of its steps ends by itself any more."""
        opening = self._opening
        if opening is not None and opening.done() and opening.exception() is None:
            opening.result().abandon(why)

    async def _opened(self) -> _Open:
        opening = self._opening
        if opening is None or not opening.done():
            opening = self._open_once()
            return await asyncio.shield(asyncio.wrap_future(opening))
        if opening.exception() is None and (opened := opening.result()).connection.is_open():
            return opened
        with self._lock:
            if self._opening is opening:
                self._opening = None
        return await asyncio.shield(asyncio.wrap_future(self._open_once()))

    def _open_once(self) -> Future[_Open]:
        with self._lock:
            if self._is_closed:
                raise ExecutorError("This RayExecutor is closed. Make another one, or close it after the last run.")
            if self._opening is None:
                self._opening = Future()
                threading.Thread(
                    target=self._open, args=(self._opening,), name="spark-graphs: ray", daemon=True
                ).start()
            return self._opening

    def _open(self, opening: Future[_Open]) -> None:
        try:
            connection, is_new = connect(self, self._address, runtime_env=self._runtime_env, init=self._init)
            if not self._is_bounded:
                self.max_in_flight = max(_IN_FLIGHT, _FOR_EACH_CPU * cpus())
            if wanted := lacking(self._options):
                _LOG.warning(
                    "No machine of the Ray cluster has %s, which %r requires. Its steps wait until such a machine joins. If none "
                    "will, require less.",
                    wanted,
                    self,
                )
            environment = {} if is_new else self._runtime_env
            opening.set_result(_Open(connection, self._for_tasks(environment), self._pool(environment)))
        except BaseException as error:
            opening.set_exception(error)

    def _for_tasks(self, environment: Mapping[str, Any]) -> Callable[[str], Any]:
        from spark_executor_ray.executor.worker import remote_task

        return remote_task({**self._options, **_given(runtime_env=dict(environment) or None)}, packs=self.packs_code)

    def _pool(self, environment: Mapping[str, Any]) -> ActorPool:
        from spark_executor_ray.executor.worker import remote_actor

        options = {"num_cpus": 0, **self._options, **_given(runtime_env=dict(environment) or None)}
        make = remote_actor(options, concurrency=self._concurrency, packs=self.packs_code)
        reserves = any(self._options.values())
        return ActorPool(make, size=self._actors, reserves=reserves, idle_seconds=self._idle_seconds)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        return f"RayExecutor({shown})"


class _Open:
    """What an executor uses while it is connected."""

    def __init__(self, connection: Connection, task_of: Callable[[str], Any], pool: ActorPool) -> None:
        self.connection = connection
        self.pool = pool
        self._task_of = task_of
        self._under_way: set[RayStep] = set()

    def begin_task(self, step: StepInput, call: Any, inbox: Inbox) -> RayStep:
        try:
            reference = self._task_of(step.key).remote(call)
        except Exception as error:
            raise _refused(step, error) from error
        return RayStep(step, reference, inbox, self._under_way)

    def begin_in_actor(self, step: StepInput, call: Any, inbox: Inbox) -> RayStep:
        member = None
        try:
            member = self.pool.take()
            reference = member.execute(call)
        except Exception as error:
            if member is not None:
                self.pool.give_back(member)
            raise _refused(step, error) from error
        return ActorStep(step, reference, inbox, self._under_way, pool=self.pool, member=member)

    def close(self) -> None:
        self.abandon("The executor was closed.")
        self.pool.close()

    def abandon(self, why: str) -> None:
        for step in [*self._under_way]:
            step.abandon(why)


def _refused(step: StepInput, error: Exception) -> ExecutorError:
    return ExecutorError(
        f"Ray did not take node {step.key!r} (attempt {step.attempt}): {type(error).__name__}: {error} "
        "Check the options of RayExecutor, and whether Ray is still running."
    )


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
