"""Plugins are told of events one by one; what one of them does wrong reaches nobody else."""

import asyncio
import gc
import importlib
import logging
import threading
from contextvars import ContextVar
from functools import partial

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark.hooks import events
from tests.discovery.sources import LISTENS
from tests.support.running import countdown, every_step
from tests.support.sites import Site

PLAIN = """
    from spark.hooks import hookimpl
    heard = []

    @hookimpl
    def spark_checkpoint_deleted(graph_id):
        heard.append(graph_id)
"""

ASYNC = """
    import asyncio
    from spark.hooks import hookimpl
    heard = []

    @hookimpl
    async def spark_checkpoint_deleted(graph_id, checkpoint_id, extra="default"):
        await asyncio.sleep(0)
        heard.append((checkpoint_id, graph_id, extra))
"""

FAILING = """
    from spark.hooks import hookimpl

    @hookimpl(tryfirst=True)
    async def spark_checkpoint_deleted():
        raise OSError("no post today")
"""


ENDING = """
    import asyncio, sys
    from spark.hooks import hookimpl

    @hookimpl(tryfirst=True)
    {kind} spark_checkpoint_deleted():
        {act}
"""

WHERE = """
    import asyncio
    from contextvars import ContextVar
    from spark.hooks import hookimpl
    from tests.discovery.test_events import WHOSE
    heard = []

    @hookimpl
    def spark_checkpoint_deleted(graph_id):
        try:
            asyncio.get_running_loop()
            heard.append((True, WHOSE.get()))
        except RuntimeError:
            heard.append((False, WHOSE.get()))
"""

SLOW = {
    "def": """
    import threading
    from spark.hooks import hookimpl
    begun, end, heard = threading.Event(), threading.Event(), []

    @hookimpl
    def spark_checkpoint_deleted(graph_id):
        heard.append(graph_id)
        begun.set()
        end.wait()
    """,
    "async def": """
    import asyncio
    from spark.hooks import hookimpl
    end, heard = asyncio.Event(), []

    @hookimpl
    async def spark_checkpoint_deleted(graph_id):
        heard.append(graph_id)
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                pass
    """,
}
"""Listeners that end when they are told to, and not when they are cancelled."""

WHOSE: ContextVar[str] = ContextVar("WHOSE", default="nobody's")


async def test_plain_and_async_listeners_get_the_arguments_they_declare(site: Site) -> None:
    site.install("fake-plain", PLAIN)
    site.install("fake-async", ASYNC)

    errors = await events.fire("spark_checkpoint_deleted", checkpoint_id="c", graph_id="g")

    import fake_async_plugin
    import fake_plain_plugin

    assert errors == []
    assert fake_plain_plugin.heard == ["g"]
    assert fake_async_plugin.heard == [("c", "g", "default")]


async def test_an_error_is_logged_with_the_plugins_name_and_the_others_are_told(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("fake-failing", FAILING)
    site.install("fake-plain", PLAIN)

    with caplog.at_level(logging.ERROR, logger="spark.hooks"):
        errors = await events.fire("spark_checkpoint_deleted", checkpoint_id="c", graph_id="g")

    import fake_plain_plugin

    ((plugin, error),) = errors
    assert plugin == "plugin 'failing' of fake-failing 1.0"
    assert str(error) == "no post today"
    assert fake_plain_plugin.heard == ["g"]
    assert "The plugin 'failing' of fake-failing 1.0 raised in its hook spark_checkpoint_deleted" in caplog.text


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("act", ["sys.exit(3)", "raise asyncio.CancelledError", "raise GeneratorExit"])
async def test_nothing_that_a_listener_raises_ends_the_run(
    site: Site, caplog: pytest.LogCaptureFixture, kind: str, act: str
) -> None:
    site.install("fake-failing", ENDING.format(kind=kind, act=act))
    site.install("fake-plain", PLAIN)

    errors = await events.fire("spark_checkpoint_deleted", checkpoint_id="c", graph_id="g")

    import fake_plain_plugin

    assert [plugin for plugin, _ in errors] == ["plugin 'failing' of fake-failing 1.0"]
    assert "The plugin 'failing' of fake-failing 1.0 raised in its hook spark_checkpoint_deleted" in caplog.text
    assert fake_plain_plugin.heard == ["g"]


async def test_a_plain_listener_does_not_hold_the_event_loop_up(site: Site) -> None:
    site.install("fake-plain", WHERE)

    WHOSE.set("of the caller")
    await events.fire("spark_checkpoint_deleted", checkpoint_id="c", graph_id="g")

    import fake_plain_plugin

    assert fake_plain_plugin.heard == [(False, "of the caller")]


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_a_slow_listener_is_left_behind_and_named(
    site: Site, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    site.install("fake-slow", SLOW[kind])
    site.install("fake-zealous", PLAIN)
    import fake_slow_plugin
    import fake_zealous_plugin

    (listener,) = (each for each in events.listeners("spark_checkpoint_deleted") if "slow" in each.plugin)
    first = {"checkpoint_id": "c", "graph_id": "first"}
    await events.tell(listener, "spark_checkpoint_deleted", first, longest=0.05)
    await events.fire("spark_checkpoint_deleted", checkpoint_id="c", graph_id="second")
    fake_slow_plugin.end.set()

    assert fake_zealous_plugin.heard == ["second"]
    assert (
        "The plugin 'slow' of fake-slow 1.0 took longer than 0.05 s in its hook spark_checkpoint_deleted" in caplog.text
    )
    assert "not notified of spark_checkpoint_deleted: an earlier call has not ended yet" in caplog.text

    assert listener.late is not None
    await listener.late
    assert fake_slow_plugin.heard == ["first"]
    assert listener.resumes_at > 0
    listener.resumes_at = float("inf")
    await events.fire("spark_checkpoint_deleted", checkpoint_id="c", graph_id="too soon")
    listener.resumes_at = 0.0
    await events.fire("spark_checkpoint_deleted", checkpoint_id="c", graph_id="third")

    assert fake_slow_plugin.heard == ["first", "third"]


def test_a_call_that_was_left_behind_in_a_loop_that_is_closed_is_not_waited_for(site: Site) -> None:
    """It can never end: whoever closes a loop by hand leaves what is in it."""
    site.install("fake-slow", SLOW["def"])
    import fake_slow_plugin

    loop = asyncio.new_event_loop()
    told = partial(events.fire, "spark_checkpoint_deleted", checkpoint_id="c")
    loop.run_until_complete(told(longest=0.05, graph_id="first"))
    loop.close()
    fake_slow_plugin.end.set()
    (listener,) = events.listeners("spark_checkpoint_deleted")
    listener.resumes_at = 0.0

    assert asyncio.run(told(graph_id="second")) == []
    assert fake_slow_plugin.heard == ["first", "second"]


async def test_cancelling_the_run_ends_the_wait_for_a_listener(site: Site) -> None:
    site.install("fake-slow", SLOW["def"])
    import fake_slow_plugin

    telling = asyncio.create_task(events.fire("spark_checkpoint_deleted", checkpoint_id="c", graph_id="g"))
    await asyncio.to_thread(fake_slow_plugin.begun.wait)
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    fake_slow_plugin.end.set()


async def test_an_event_that_nobody_listens_to_has_no_listeners(site: Site) -> None:
    site.install("fake-plain", PLAIN)

    assert events.listeners("spark_checkpoint_created") == ()
    assert await events.fire("spark_checkpoint_created", checkpoint=None, info=None) == []


def test_listeners_are_called_in_a_stable_order(site: Site) -> None:
    site.install("fake-failing", FAILING)
    site.install("fake-plain", PLAIN)
    site.install("fake-async", ASYNC)

    order = [listener.plugin.split("'")[1] for listener in events.listeners("spark_checkpoint_deleted")]

    assert order == ["failing", "async", "plain"]


def test_an_event_that_does_not_exist_is_a_mistake_of_the_caller(site: Site) -> None:
    with pytest.raises(KeyError):
        events.listeners("spark_checkpoint_delete")


async def test_a_run_loads_plugins_off_the_event_loop(site: Site) -> None:
    """The first time imports whatever is installed, which may take long."""
    site.install("fake-slow", f"{LISTENS}\nimport threading\n\nLOADED_BY = threading.current_thread()\n")

    await Graph(countdown(), id="g", checkpoint_config=every_step(InMemoryCheckpointBackend())).run({"limit": 2})

    assert importlib.import_module("fake_slow_plugin").LOADED_BY is not threading.main_thread()


KEEPING = """
    from spark.hooks import hookimpl
    heard = []

    @hookimpl
    def spark_checkpoint_created(checkpoint):
        heard.append(checkpoint)
"""


async def test_a_graph_that_a_plugin_restores_continues_in_the_store_of_the_run(site: Site) -> None:
    site.install("fake-keeping", KEEPING)
    backend = InMemoryCheckpointBackend()

    await Graph(countdown(), id="g", checkpoint_config=every_step(backend)).run({"limit": 2})
    gc.collect()  # a graph that is alive would say itself how it is checkpointed

    heard = importlib.import_module("fake_keeping_plugin").heard
    assert [Graph.from_checkpoint(each, start=countdown()).checkpoint_backend for each in heard] == [backend] * 2
