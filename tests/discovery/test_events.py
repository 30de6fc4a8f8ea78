"""Plugins are told of events one by one; what one of them does wrong reaches nobody else."""

import logging

import pytest

from spark.hooks import events
from tests.discovery.sites import Site

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
