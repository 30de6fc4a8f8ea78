"""Observers with one bug each, and sound ones, under the suite. Run by ``test_planted_observers.py``."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from spark.graphs.checkpoint import CheckpointHandler
from spark_testing import HOSTILE_IDS, ObserverConformance, leaks

SPAN: ContextVar[str] = ContextVar("span", default="")


class Suite(ObserverConformance):
    secrets = ("s3cret",)
    hostile_ids = HOSTILE_IDS[:6]
    kind: type[CheckpointHandler]

    @pytest.fixture
    def observer(self) -> CheckpointHandler:
        return self.kind()

    @pytest.fixture(autouse=True)
    def _patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bugs are known to be there, so that nobody waits for them; what is sound may be on a busy machine."""
        monkeypatch.setattr(leaks, "LONGEST_WAIT", 0.1 if self.kind in BUGS else 20)
        monkeypatch.setattr(type(self), "seconds", 0.05 if self.kind in BUGS else 20)


class Plain(CheckpointHandler):
    def on_checkpoint_created(self, checkpoint: Any) -> None:
        assert checkpoint.graph_id


class Async(CheckpointHandler):
    async def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
        await asyncio.sleep(0)

    async def on_checkpoint_failed(self, graph_id: str, error: BaseException) -> None:
        await asyncio.sleep(0)


class Traces(CheckpointHandler):
    @contextmanager
    def around(self, activity: Any) -> Iterator[None]:
        token = SPAN.set(activity.name)
        yield
        SPAN.reset(token)

    def on_event(self, event: Any) -> None:
        json.dumps(event.to_data())


class Idle(CheckpointHandler):
    """Has no method."""


class Greedy(CheckpointHandler):
    def on_checkpoint_created(self, checkpoint: Any, info: Any) -> None: ...  # type: ignore[override]


class RaisesOnRestored(CheckpointHandler):
    def on_checkpoint_restored(self, checkpoint: Any) -> None:
        raise KeyError("graph_state")


class RaisesOnFailed(CheckpointHandler):
    def on_checkpoint_failed(self, graph_id: str, error: BaseException) -> None:
        raise AttributeError("code")


class RaisesOnEvents(CheckpointHandler):
    def on_event(self, event: Any) -> None:
        assert event.node


class WatchesPerhaps(CheckpointHandler):
    def watches(self, graph_id: str) -> Any:
        return graph_id.encode("ascii")

    def on_event(self, event: Any) -> None: ...


class KeepsItsSpan(CheckpointHandler):
    @contextmanager
    def around(self, activity: Any) -> Iterator[None]:
        SPAN.set(activity.name)
        yield


class SlowAround(CheckpointHandler):
    @contextmanager
    def around(self, activity: Any) -> Iterator[None]:
        yield
        time.sleep(0.03)


class MakesFiles(CheckpointHandler):
    def on_checkpoint_created(self, checkpoint: Any) -> None:
        open(f"/proc/self/{checkpoint.graph_id}/nothing", "rb").close()


class Slow(CheckpointHandler):
    def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
        time.sleep(0.1)


class OneAtATime(CheckpointHandler):
    def __init__(self) -> None:
        self.busy = False

    async def on_checkpoint_created(self, checkpoint: Any) -> None:
        assert not self.busy
        self.busy = True
        await asyncio.sleep(0.001)
        self.busy = False


class OneLoop(CheckpointHandler):
    lock: Any = None

    async def on_checkpoint_created(self, checkpoint: Any) -> None:
        self.lock = self.lock or asyncio.get_running_loop()
        self.lock.call_soon(lambda: None)


class LeavesTasks(CheckpointHandler):
    def __init__(self) -> None:
        self.tasks: list[Any] = []

    async def on_checkpoint_created(self, checkpoint: Any) -> None:
        self.tasks.append(asyncio.create_task(asyncio.sleep(60)))


class LeavesConnections(CheckpointHandler):
    def __init__(self) -> None:
        self.connections: list[Any] = []

    def on_checkpoint_created(self, checkpoint: Any) -> None:
        self.connections.append(socket.socketpair())


class Loud(CheckpointHandler):
    token = "s3cret"

    async def on_checkpoint_created(self, checkpoint: Any) -> None: ...

    def __repr__(self) -> str:
        return f"Loud({self.token})"


SOUND = (Plain, Async, Traces)
BUGS = {
    Idle: "has_a_method",
    Greedy: "take_what_they_are_called_with",
    RaisesOnRestored: "all_that_happens",
    RaisesOnFailed: "can_not_be_made",
    RaisesOnEvents: "takes_every_event",
    WatchesPerhaps: "whether_it_watches",
    KeepsItsSpan: "context_variables",
    SlowAround: "around_is_quick",
    MakesFiles: "whatever_graphs_are_called",
    Slow: "no_longer_than",
    OneAtATime: "several_graphs",
    OneLoop: "one_event_loop_after_another",
    LeavesTasks: "leaves_no_task",
    LeavesConnections: "leaves_no_task",
    Loud: "shows_no_secret",
}
for each in (*SOUND, *BUGS):
    globals()[f"Test{each.__name__}"] = type(f"Test{each.__name__}", (Suite,), {"kind": each, "__module__": __name__})
