"""What a Ray executor refuses, how it is chosen, and what it takes for the end of Ray: nothing of this needs Ray to run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from spark.errors import ExecutorError, GraphDefinitionError
from spark.graphs import Graph, Node
from spark.graphs.executors import NodeReference, Sent, StepInput, StepResult
from spark_executor_ray import RayExecutor
from spark_executor_ray.executor.inbox import Inboxes
from spark_executor_ray.executor.stopping import cancel, kill
from spark_executor_ray.executor.transport import (
    Address,
    is_large,
    packed_result,
    packed_step,
    unpacked_result,
    unpacked_step,
)
from tests.support.servers import silent_port


class Nothing(Node):
    def process(self) -> Any:
        return None


@pytest.mark.parametrize(
    "options",
    [
        {"actors": 0},
        {"concurrency": True},
        {"max_in_flight": 0},
        {"code": "pickle"},
        {"num_cpus": -1},
        {"memory": float("inf")},
        {"idle_seconds": "a minute"},
        {"resources": ["disk"]},
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(GraphDefinitionError, match=f"{next(iter(options))}="):
        RayExecutor(**options)


def test_an_amount_that_does_not_fit_is_named() -> None:
    with pytest.raises(GraphDefinitionError, match=r"resources\['disk'\]=-1\): give a number of at least 0"):
        RayExecutor(resources={"disk": -1})


async def test_a_cluster_that_does_not_answer_is_an_error_at_once() -> None:
    with silent_port() as port, pytest.raises(ExecutorError, match=f"No Ray cluster answers at .*:{port}"):
        await Graph(Nothing(executor=RayExecutor(f"127.0.0.1:{port}"))).run()


async def test_a_cluster_on_this_machine_that_is_gone_is_an_error_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray keeps a note of the last cluster, and would try to reach it for a minute."""
    from ray._private import services

    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(services, "_find_address_from_flag", lambda flag: set())  # clusters of other programs

    with pytest.raises(ExecutorError, match=r"No Ray cluster answers at .*:1, which 'auto' means here"):
        await Graph(Nothing(executor=RayExecutor("auto"))).run()


async def test_ray_client_is_refused() -> None:
    with pytest.raises(ExecutorError, match="Ray Client"):
        await Graph(Nothing(executor={"ray": {"address": "ray://127.0.0.1:10001"}})).run()


async def test_a_closed_executor_takes_no_steps() -> None:
    executor = RayExecutor()
    executor.close()

    with pytest.raises(ExecutorError, match="is closed"):
        await Graph(Nothing(executor=executor)).run()


def test_large_buffers_travel_beside_the_bytes() -> None:
    array = numpy.arange(100_000)
    node = NodeReference("m", "q", False, arguments=Sent(b"args", [b"x" * 10]))
    step = StepInput("t", 1, node, "k", "g", "r", 0, "i", 0, None, {}, Sent(b"given", [memoryview(array).cast("B")]))

    carried = packed_step(step, Address("box", 7))
    data, buffers = carried
    found, address = unpacked_step(carried)

    assert len(data) < 1_000
    assert is_large(carried)
    assert address == Address("box", 7)
    assert found.node.arguments is not None
    assert bytes(found.node.arguments.buffers[0]) == b"x" * 10
    assert numpy.shares_memory(numpy.frombuffer(found.given.buffers[0], array.dtype), array)
    assert len(buffers) == 2


def test_a_small_step_and_a_result_are_nothing_but_bytes() -> None:
    step = StepInput("t", 1, NodeReference("m", "q", True), "k", "g", "r", 0, "i", 0, None, {}, Sent(b"given"))
    result = StepResult("t", 1, "finished", Sent(b"content"))

    assert isinstance(packed_step(step, Address("box", 7)), bytes)
    assert unpacked_step(packed_step(step, Address("box", 7))) == (step, Address("box", 7))
    assert unpacked_result(packed_result(result, 3)) == (result, 3)


@pytest.mark.parametrize(
    ("error", "is_end_of_ray"),
    [
        (lambda errors: errors.OutOfMemoryError("killed"), False),
        (lambda errors: errors.ActorDiedError(), False),
        (lambda errors: errors.RaySystemError("shut down"), True),
    ],
    ids=["memory", "killed", "end"],
)
def test_the_loss_of_the_actor_for_messages_is_not_the_end_of_ray(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[Any], Exception], is_end_of_ray: bool
) -> None:
    import ray

    def get(reference: object) -> Any:
        raise error(ray.exceptions)

    monkeypatch.setattr(ray, "get", get)
    ended: list[BaseException] = []
    actor = SimpleNamespace(take=SimpleNamespace(remote=lambda: None))
    inboxes = Inboxes(actor, "box", on_gone=ended.append)
    inboxes._thread.join()

    assert not inboxes.is_open
    assert list(map(str, ended)) == (["System error: shut down"] if is_end_of_ray else [])


def test_once_it_is_closed_no_thread_uses_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    killed = threading.Event()

    def get(reference: object) -> Any:
        killed.wait()
        threading.Event().wait(0.05)  # Ray takes its time, too
        raise ray.exceptions.ActorDiedError

    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "kill", lambda actor: killed.set())
    ended: list[BaseException] = []
    inboxes = Inboxes(SimpleNamespace(take=SimpleNamespace(remote=lambda: None)), "box", on_gone=ended.append)
    inboxes.close()

    assert not inboxes._thread.is_alive()
    assert ended == []


def test_where_ray_is_shut_down_nothing_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """``ray.kill`` and ``ray.cancel`` would start another Ray."""
    import ray

    asked: list[str] = []
    monkeypatch.setattr(ray, "kill", lambda actor: asked.append("kill"))
    monkeypatch.setattr(ray, "cancel", lambda reference, force: asked.append("cancel"))
    for is_initialized in (False, True):
        monkeypatch.setattr(ray, "is_initialized", lambda is_initialized=is_initialized: is_initialized)
        kill(SimpleNamespace())
        cancel(SimpleNamespace(), force=True)
        asked.append(f"initialized: {is_initialized}")

    assert asked == ["initialized: False", "kill", "cancel", "initialized: True"]
