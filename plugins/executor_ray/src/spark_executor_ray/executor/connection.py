"""The connection of this process to Ray, which all its executors share."""

from __future__ import annotations

import atexit
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, Protocol
from weakref import WeakSet

from spark.errors import ExecutorError
from spark.graphs.executors import StepChannel
from spark_executor_ray.executor.inbox import Inbox, Inboxes
from spark_executor_ray.executor.mailbox import Mailbox

_LOCK: Final = threading.RLock()
_FOR_A_JOB: Final = ("working_dir", "py_modules")
"""Parts of a runtime environment for which Ray uploads local folders only when it is initialised."""
_UNTIL_REACHED: Final = 5.0
"""Seconds."""
_HERE: Final = "local"
"""The address with which Ray is started on this machine."""
_LISTENS_OUTSIDE: Final = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "ENABLE_RAY_CLUSTER")
"""By which Ray decides, on every system, whether it takes the network address of this machine. A variable, and Ray's constant."""
_REPEATS_UV: Final = ("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "RAY_ENABLE_UV_RUN_RUNTIME_ENV")
"""By which Ray decides whether a program of ``uv run`` has workers that repeat the command, in a copy of its folder."""
_ASKED_AT_ONCE: Final = 10_000
"""So many calls the mailbox answers at a time; those that ask take long."""


class User(Protocol):
    """An executor."""

    def lose(self, why: str) -> None:
        """Ray is shut down: none of its steps ends by itself any more."""

    def close(self) -> None:
        """The program ends. Disconnects it."""


class Connection:
    """What the executors of this process share while Ray is initialised."""

    def __init__(self) -> None:
        self.users: WeakSet[Any] = WeakSet()
        actor, name = _started_mailbox()
        self._inboxes = Inboxes(actor, name, on_gone=self._lose)

    def is_open(self) -> bool:
        """Whether steps can use it: Ray is initialised, and the mailbox there is not known to be gone."""
        return self._inboxes.is_open

    def inbox(self, channel: StepChannel) -> Inbox:
        """Where the messages of a step arrive that is begun now."""
        return self._inboxes.make(channel)

    def close(self) -> None:
        """Take no more messages."""
        self._inboxes.close()

    def _lose(self, error: BaseException) -> None:
        for user in [*self.users]:
            user.lose(f"Ray was shut down, or can't be reached any more ({type(error).__name__}: {error}).")


_current: Connection | None = None
_ended = threading.Event()
"""Set when Ray is shut down that an executor has initialised."""
_is_ours = False


def connect(
    user: User, address: str | None, *, runtime_env: Mapping[str, Any], init: Mapping[str, Any]
) -> tuple[Connection, bool]:
    """The connection, and whether Ray was initialised for it now, with that runtime environment. Takes seconds.

    :raises ExecutorError: Ray can't be reached, or does not start; says why, and what to do.
    """
    global _current, _is_ours
    import ray

    atexit.unregister(close_all)
    atexit.register(close_all)  # after Ray's own handler, and so called before it
    with _LOCK:
        is_new = not ray.is_initialized()
        if is_new:
            _initialize(address, runtime_env=runtime_env, init=init)
            _is_ours = True
        else:
            _check_environment(runtime_env)
        if is_new or _current is None or not _current.is_open():
            users = _current.users if _current is not None else ()
            _current = Connection()
            _current.users.update(users)
        _current.users.add(user)
        return _current, is_new


def disconnect(connection: Connection, user: User) -> None:
    """An executor is closed. The last one shuts Ray down, if one of them has initialised it."""
    global _current, _is_ours
    import ray

    with _LOCK:
        connection.users.discard(user)
        if connection.users or connection is not _current:
            return
        _current = None
        connection.close()
        if _is_ours:
            _is_ours = False
            ray.shutdown()
            _ended.set()


def close_all() -> None:
    """The program ends, or shuts Ray down itself: nothing must use Ray any more then."""
    connection = _current
    if connection is None:
        return
    for user in [*connection.users]:
        user.close()
    if connection is _current:  # its last executor was collected, and not closed
        connection.close()


def cpus() -> int:
    """How many the cluster has now."""
    import ray

    return int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]


def _initialize(address: str | None, *, runtime_env: Mapping[str, Any], init: Mapping[str, Any]) -> None:
    import ray

    where = _chosen(address)
    arguments = {**init, **({"runtime_env": dict(runtime_env)} if runtime_env else {})}
    try:
        _check_reached(where)
        with ExitStack() as settings:
            if where == _HERE:
                settings.enter_context(_switched_off(*_REPEATS_UV))  # this machine has all that the program has
                if "_node_ip_address" not in init:
                    settings.enter_context(_switched_off(*_LISTENS_OUTSIDE))
            _started(partial(ray.init, where, **arguments))
    except ExecutorError:
        raise
    except Exception as error:
        raise ExecutorError(_why_not(where, error)) from error


def _chosen(address: str | None) -> str:
    """As ``ray.init`` chooses, except that nobody gets a cluster that was not named: the last one that ran here may be gone."""
    if address not in (None, "auto"):
        return address
    return os.environ.get("RAY_ADDRESS") or address or _HERE


@contextmanager
def _switched_off(variable: str, constant: str) -> Iterator[None]:
    """Ray does not do meanwhile what it does by default, unless the user has set the variable so that it does.

    Ray reads the variable when it is imported, which may have happened already.
    """
    from ray._private import ray_constants

    given, read = os.environ.get(variable), getattr(ray_constants, constant)
    if (given or "").lower() in ("1", "true"):
        yield
        return
    os.environ[variable] = "0"
    setattr(ray_constants, constant, False)
    try:
        yield
    finally:
        setattr(ray_constants, constant, read)
        if given is None:
            del os.environ[variable]
        else:
            os.environ[variable] = given


def _started(initialize: Callable[[], object]) -> None:
    """Initialise Ray in a thread that lives until Ray is shut down.

    What Ray starts on this machine is killed by the kernel as soon as the thread ends that started it, and not only with the
    process.
    """
    done: Future[object] = Future()

    def live() -> None:
        try:
            done.set_result(initialize())
        except BaseException as error:
            done.set_exception(error)
        else:
            ended.wait()

    ended = threading.Event()
    threading.Thread(target=live, name="spark-graphs: the parent of Ray", daemon=True).start()
    done.result()
    global _ended
    _ended = ended


def _check_reached(address: str) -> None:
    """Ray would try for a minute, and might end this process then."""
    from ray._private.services import canonicalize_bootstrap_address

    if address.startswith("ray://"):
        raise ExecutorError(
            f"RayExecutor can't use Ray Client ({address}). Start this program on a machine of the cluster, for instance by "
            "`ray job submit`, with address='auto'."
        )
    found = canonicalize_bootstrap_address(address)
    if found is None:  # it starts one
        return
    host, _, port = found.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_UNTIL_REACHED).close()
    except OSError as error:
        meant = "" if found == address else f", which {address!r} means here"
        raise ExecutorError(
            f"No Ray cluster answers at {found}{meant}: {error}. Check that it runs and can be reached from here, for instance "
            f"with `ray status --address {found}`. Its port is 6379 unless another one was chosen. Without an address, Ray is "
            "started here."
        ) from error


def _check_environment(runtime_env: Mapping[str, Any]) -> None:
    local = [name for name in _FOR_A_JOB if _is_local(runtime_env.get(name))]
    if local:
        raise ExecutorError(
            f"RayExecutor(runtime_env=...) names a local folder ({', '.join(local)}). Ray uploads folders only while it is being "
            "initialised, which has happened already. Give it to ray.init(runtime_env=...), or upload it and give its URL."
        )


def _is_local(given: Any) -> bool:
    paths = given if isinstance(given, list | tuple) else [given]
    return any(not (isinstance(path, str) and "://" in path) for path in paths if path is not None)


def _why_not(address: str, error: Exception) -> str:
    where = "started here" if address == _HERE else f"initialised at {address!r}"
    text = f"Ray can't be {where}: {type(error).__name__}: {error}"
    if "mismatch" in str(error):
        return f"{text} Install here what the cluster has: the same release of Ray, and the same version of Python."
    if isinstance(error, ConnectionError):
        return (
            f"{text} Start a cluster with `ray start --head`, or leave out address= to start Ray here. If the cluster asks for a "
            "token, set RAY_AUTH_MODE=token and give this process the same token."
        )
    return text


def _started_mailbox() -> tuple[Any, str]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    name = f"spark-graphs-mailbox-{uuid.uuid4().hex}"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # lives and dies with us
    cls: Any = ray.remote(Mailbox)
    made = cls.options(name=name, num_cpus=0, max_restarts=0, max_concurrency=_ASKED_AT_ONCE, scheduling_strategy=here)
    return made.remote(), name
