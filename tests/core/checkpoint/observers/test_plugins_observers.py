"""An observer of a plugin can neither end a run nor hold it up, whatever it does."""

from __future__ import annotations

import asyncio
import importlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.hooks import events
from tests.support.running import countdown, every_step, history
from tests.support.sites import Site, site_in

PLUGIN = """
    import asyncio, sys, threading
    from spark.graphs.checkpoint import CheckpointHandler
    from spark.hooks import ObserverSpec, hookimpl

    class Observer(CheckpointHandler):
        def __init__(self, does: str) -> None:
            self.does, self.heard = does, []
            self.begun, self.end = threading.Event(), threading.Event()

        def on_checkpoint_created(self, checkpoint):
            self.heard.append(checkpoint.sequence)
            self.begun.set()
            if self.does == "exits":
                sys.exit(3)
            if self.does == "hangs":
                self.end.wait()

        async def on_checkpoint_deleted(self, checkpoint_id):
            self.heard.append(checkpoint_id)
            if self.does == "cancels":
                raise asyncio.CancelledError
            if self.does == "hangs":
                await asyncio.Event().wait()

    class Quiet(CheckpointHandler):
        def __init__(self, level: int) -> None:
            pass

    @hookimpl
    def spark_observers():
        return [
            ObserverSpec(name="observer", target="fake_post_plugin:Observer"),
            ObserverSpec(name="quiet", target="fake_post_plugin:Quiet"),
        ]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_in(tmp_path, monkeypatch) as site:
        site.install("fake-post", PLUGIN)
        yield site


def observed(does: str, **arguments: Any) -> tuple[Graph, Any]:
    """A graph, and the observer that is notified of its checkpoints."""
    config = every_step(
        InMemoryCheckpointBackend(),
        auto_cleanup=True,
        max_checkpoints=1,
        handler={"observer": {"does": does}},
        **arguments,
    )
    assert isinstance(config.handler, tuple)
    return Graph(countdown(), id="g", checkpoint_config=config), config.handler[0]


@pytest.mark.parametrize("does", ["exits", "cancels"])
async def test_nothing_that_it_raises_ends_the_run(site: Site, caplog: pytest.LogCaptureFixture, does: str) -> None:
    """Whatever the user wants to happen when a handler of the user's own fails."""
    graph, observer = observed(does, handler_errors="raise")

    with caplog.at_level(logging.ERROR):
        message = await graph.run({"limit": 2})

    assert message.content["count"] == 2
    assert observer.heard == [1, 2, "ckpt_g_000001"]
    assert "The observer 'observer' raised in its hook spark_checkpoint_" in caplog.text


async def test_one_that_hangs_is_left_behind_for_a_while(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LONGEST", 0.3)
    graph, observer = observed("hangs")

    message = await graph.run({"limit": 4})
    observer.end.set()

    assert message.content["count"] == 4
    assert observer.heard == [1, "ckpt_g_000001"], "the first of each event; then it was left alone"
    assert "The observer 'observer' took longer than 0.3 s in its hook spark_checkpoint_created" in caplog.text
    assert "not notified of spark_checkpoint_created: an earlier call has not ended yet" in caplog.text
    assert "not notified of spark_checkpoint_deleted: an earlier call took too long" in caplog.text


async def test_cancelling_the_run_ends_the_wait_for_one_that_hangs(site: Site) -> None:
    graph, observer = observed("hangs", cancel_grace=0.2)

    run = asyncio.create_task(graph.run({"limit": 2}))
    await asyncio.to_thread(observer.begun.wait)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    observer.end.set()

    assert threading.active_count() < 50


async def test_a_method_that_it_has_not_written_costs_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint need not be copied for it."""
    copies = 0
    kind = importlib.import_module("spark.graphs.checkpoint.model").GraphCheckpoint
    isolated = kind.isolated

    def counted(self: Any) -> Any:
        nonlocal copies
        copies += 1
        return isolated(self)

    monkeypatch.setattr(kind, "isolated", counted)
    config = every_step(InMemoryCheckpointBackend(), handler={"quiet": {"level": 1}})

    await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 3})

    assert copies == 0


async def test_the_manager_takes_observers_by_name_too(site: Site) -> None:
    backend = InMemoryCheckpointBackend()
    graph = Graph(countdown(), id="g", checkpoint_config=every_step(backend))
    await graph.run({"limit": 2})
    (observer,) = CheckpointConfig(handler={"observer": {"does": "nothing"}}).handler  # type: ignore[misc, union-attr]
    manager = CheckpointManager(backend, handler=observer)

    await manager.delete_checkpoint("ckpt_g_000001")

    assert observer.heard == ["ckpt_g_000001"]  # type: ignore[union-attr]
    assert len(await history(graph)) == 1
