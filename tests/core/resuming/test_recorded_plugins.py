"""What was chosen by name is recorded by name and options, without secrets, and a restored graph behaves as the first one did."""

from __future__ import annotations

import gc
import importlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spark.errors import DeserializationError, GraphRestoreError, SparkWarning
from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    GraphCheckpoint,
    open_backend,
)
from spark.hooks import discovery
from tests.support.running import countdown
from tests.support.shop import shop_in
from tests.support.sites import Site

WEBHOOK = {"url": "http://127.0.0.1:9/hook", "token": "s3cret", "graphs": ["rec*"]}
RECORDED = {"url": "http://127.0.0.1:9/hook", "token": "***", "graphs": ["rec*"]}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Installed plugins, and a folder without settings to work in."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    with shop_in(tmp_path / "site", monkeypatch) as site:
        yield site
    gc.collect()


def uninstall(shop: Site) -> None:
    for file in shop.folder.rglob("entry_points.txt"):
        file.write_text("")
    discovery.reset()


async def saved(store: str, *, steps: int = 3, **settings: Any) -> GraphCheckpoint:
    """The last checkpoint of a graph that lives no more, loaded from a store that was opened anew."""
    config = CheckpointConfig(backend=store, **{"trigger_on_iteration": 1, **settings})
    graph = Graph(countdown(), id="recorded", checkpoint_config=config)
    await graph.run({"limit": steps})
    assert graph.checkpoint_backend is not None
    await graph.checkpoint_backend.close()
    del graph
    gc.collect()
    return await loaded(open_backend(store.partition("?")[0]))


async def loaded(backend: CheckpointBackend) -> GraphCheckpoint:
    checkpoint = await CheckpointManager(backend).load_latest("recorded")
    assert checkpoint is not None
    return checkpoint


def restored(checkpoint: GraphCheckpoint) -> tuple[Graph, CheckpointConfig]:
    graph = Graph.from_checkpoint(checkpoint, start=countdown())
    assert graph.checkpoint_config is not None
    return graph, graph.checkpoint_config


async def continued(graph: Graph) -> list[Any]:
    """The headers of what the graph saves from here on."""
    backend = graph.checkpoint_backend
    assert backend is not None
    before = await backend.next_sequence("recorded")
    await graph.run({"limit": 5}, resume="state")
    records = (await backend.get_many("recorded", range(before, before + 9))).records
    await backend.close()
    assert records
    return [record.header for record in records.values()]


async def test_rules_and_observers_are_recorded_by_name_and_options_without_secrets(shop: Site, tmp_path: Path) -> None:
    checkpoint = await saved(
        f"file://{tmp_path}/store",
        trigger={"cost_budget": {"dollars": 2}},
        retention={"any": ["keep_odd", {"keep_last": {"count": 7}}]},
        handler={"webhook": WEBHOOK},
    )

    recorded = checkpoint.config["checkpoint"]
    assert recorded["trigger"] == {"cost_budget": {"dollars": 2}}
    assert recorded["retention"] == {"any": [{"keep_odd": {}}, {"keep_last": {"count": 7}}]}
    assert recorded["handlers"] == [{"webhook": RECORDED}]
    files = [file for file in (tmp_path / "store").rglob("*") if file.is_file()]
    assert files
    assert [file for file in files if b"s3cret" in file.read_bytes()] == []
    await open_store(checkpoint).close()


def open_store(checkpoint: GraphCheckpoint) -> Any:
    from spark.graphs.checkpoint.links import links_of

    return links_of(checkpoint).store


async def test_a_restored_graph_has_the_same_rules_and_notifies_the_same_observers(shop: Site, tmp_path: Path) -> None:
    (tmp_path / "project" / "spark.toml").write_text("[plugins.webhook]\ntoken = 's3cret'\n")
    checkpoint = await saved(
        f"file://{tmp_path}/store",
        trigger={"cost_budget": {"dollars": 2}},
        retention={"keep_odd": {}},
        handler=[{"webhook": WEBHOOK}, {"counter": {"enabled": False}}],
    )

    graph, config = restored(checkpoint)
    await continued(graph)

    assert repr(config.combined_trigger()) == "EveryIterations(1) | CostBudget(2.0)"
    assert type(config.combined_retention()).__name__ == "KeepOdd"
    assert isinstance(config.handler, tuple)
    webhook = config.handler[0]
    assert webhook.token.get_secret_value() == "s3cret"  # type: ignore[union-attr]
    assert webhook.told  # type: ignore[union-attr]
    assert importlib.import_module("fake_shop_plugin").Counter.made == [], "it was switched off, and still is"


async def test_an_observer_whose_secret_is_nowhere_is_not_called_and_that_is_said(shop: Site, tmp_path: Path) -> None:
    checkpoint = await saved(f"file://{tmp_path}/store", handler={"webhook": WEBHOOK})

    with pytest.warns(SparkWarning) as caught:
        graph, _ = restored(checkpoint)

    message = str(caught[0].message)
    assert "'webhook' has secret options, which are not recorded: token." in message
    assert "Set them in the table [plugins.webhook] of spark.toml. So it is not called" in message
    await continued(graph)


async def test_a_secret_goes_nowhere_but_where_the_settings_say(shop: Site, tmp_path: Path) -> None:
    """Whoever can write to the store can write another URL into it."""
    checkpoint = await saved(f"file://{tmp_path}/store", handler={"webhook": WEBHOOK})
    (tmp_path / "project" / "spark.toml").write_text("[plugins.webhook]\nurl = 'http://mine'\ntoken = 's3cret'\n")
    checkpoint.config["checkpoint"]["handlers"] = [{"webhook": {"url": "http://theirs", "token": "***"}}]

    graph, config = restored(checkpoint)

    assert [each.url for each in config.handler] == ["http://mine"]  # type: ignore[union-attr]
    await continued(graph)


async def test_settings_switch_off_what_was_recorded(shop: Site, tmp_path: Path) -> None:
    checkpoint = await saved(f"file://{tmp_path}/store", handler={"webhook": {"url": "http://x"}})
    (tmp_path / "project" / "spark.toml").write_text("[plugins.webhook]\nenabled = false\n")

    graph, config = restored(checkpoint)

    assert [type(each).__name__ for each in config.handler] == ["SwitchedOff"]  # type: ignore[union-attr]
    await continued(graph)


async def test_where_the_working_directory_is_gone_there_are_no_settings(
    shop: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = await saved(f"file://{tmp_path}/store", handler={"webhook": {"url": "http://x"}})
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    os.rmdir(tmp_path / "gone")

    graph, config = restored(checkpoint)

    assert [each.url for each in config.handler] == ["http://x"]  # type: ignore[union-attr]
    monkeypatch.chdir(tmp_path)
    await continued(graph)


async def test_the_projects_own_plugins_are_found_by_the_settings(shop: Site, tmp_path: Path) -> None:
    (shop.folder / "my_rules.py").write_text(
        "from spark.graphs.checkpoint import EveryIterations\nfrom spark.hooks import TriggerSpec, hookimpl\n\n"
        "class Mine(EveryIterations):\n    name = 'mine'\n    def __init__(self): super().__init__(3)\n"
        "    def options(self): return {}\n\n"
        "@hookimpl\ndef spark_triggers():\n    return [TriggerSpec(name='mine', target='my_rules:Mine')]\n"
    )
    (tmp_path / "project" / "spark.toml").write_text("plugins = ['my_rules']\n")
    store = f"file://{tmp_path}/store"
    config = CheckpointConfig.load(backend=store, trigger={"any": ["mine"]})
    first = Graph(countdown(), id="recorded", checkpoint_config=config)
    await first.run({"limit": 3})
    await first.checkpoint_backend.close()  # type: ignore[union-attr]
    del first, config
    gc.collect()
    discovery.reset()

    graph, config = restored(await loaded(open_backend(store)))

    assert type(config.combined_trigger()).__name__ in ("Mine", "AnyTrigger")
    assert "EveryIterations(3)" in repr(config.combined_trigger())
    await continued(graph)


async def test_what_is_no_longer_installed_is_named_and_more_is_kept(shop: Site, tmp_path: Path) -> None:
    checkpoint = await saved(
        f"file://{tmp_path}/store",
        trigger={"cost_budget": {"dollars": 2}},
        retention="keep_odd",
        handler={"webhook": {"url": "http://x", "token": "a secret is not what is missing"}},
    )
    uninstall(shop)

    with pytest.warns(SparkWarning) as caught:
        graph, config = restored(checkpoint)

    message = str(caught[0].message)
    assert "trigger: No installed plugin provides the trigger 'cost_budget'; installed: " in message
    assert "retention: No installed plugin provides the retention 'keep_odd'; installed: " in message
    assert "No installed plugin provides the observer 'webhook'" in message
    assert repr(config.combined_retention()) == "KeepAll()"
    await continued(graph)


@pytest.mark.parametrize("given", ["file:///store?pretty", "config", "backend"])
async def test_the_format_and_its_options_are_those_of_the_first_graph(shop: Site, tmp_path: Path, given: str) -> None:
    """Wherever it was chosen; the store that the checkpoint is loaded from was opened without a word about it."""
    store = f"file://{tmp_path}/store"
    pretty = {"json": {"pretty_print": True}}
    if given == "config":
        checkpoint = await saved(store, format=pretty)
    elif given == "backend":
        async with FileCheckpointBackend(tmp_path / "store", format=pretty) as backend:
            config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
            await Graph(countdown(), id="recorded", checkpoint_config=config).run({"limit": 3})
        gc.collect()
        checkpoint = await loaded(open_backend(store))
    else:
        checkpoint = await saved(f"{store}?pretty_print=true")

    graph, _ = restored(checkpoint)
    await continued(graph)

    latest = max((tmp_path / "store" / "recorded").glob("*.ckpt"))
    assert b'\n  "graph_state": {\n' in latest.read_bytes()


async def test_the_serializer_and_the_codec_are_those_of_the_first_graph(shop: Site, tmp_path: Path) -> None:
    checkpoint = await saved(f"file://{tmp_path}/store?codec=mirror", serializer={"upper": {"marks": ["a"]}})

    graph, config = restored(checkpoint)
    headers = await continued(graph)

    assert {header.codecs for header in headers} == {("mirror",)}
    assert replace(config, max_checkpoints=3).encoding() == config.encoding(), "it can be varied"
    assert graph.create_checkpoint().config["checkpoint"]["serializer"] == {"upper": {"marks": ["a"]}}


async def test_what_the_store_was_opened_with_wins_over_what_is_recorded(shop: Site, tmp_path: Path) -> None:
    store = f"file://{tmp_path}/store"
    await saved(store, codec="mirror")

    graph, _ = restored(await loaded(open_backend(store, codec={"locked": {"key": "new"}})))
    headers = await continued(graph)

    assert {header.codecs for header in headers} == {("locked",)}


async def test_in_the_process_of_the_first_graph_they_are_the_same_in_another_store(shop: Site, tmp_path: Path) -> None:
    config = CheckpointConfig(backend=f"file://{tmp_path}/store", trigger_on_iteration=1, codec="mirror")
    first = Graph(countdown(), id="recorded", checkpoint_config=config)
    await first.run({"limit": 3})

    graph, moved = restored(await loaded(open_backend(f"file://{tmp_path}/store")))

    assert graph.checkpoint_backend is not first.checkpoint_backend
    assert moved.codec == config.codec
    assert {header.codecs for header in await continued(graph)} == {("mirror",)}
    await first.checkpoint_backend.close()  # type: ignore[union-attr]


async def test_what_is_saved_by_hand_is_written_in_the_same_way(shop: Site, tmp_path: Path) -> None:
    checkpoint = await saved(f"file://{tmp_path}/store?codec=mirror")

    graph, _ = restored(checkpoint)
    assert graph.checkpoint_backend is not None
    info = await graph.create_checkpoint("mine").save(graph.checkpoint_backend)

    record = await graph.checkpoint_backend.get("recorded", info.sequence)
    assert record is not None
    assert record.header.codecs == ("mirror",)
    await graph.checkpoint_backend.close()


async def test_a_key_is_not_recorded_and_comes_from_the_settings(shop: Site, tmp_path: Path) -> None:
    (tmp_path / "project" / "spark.toml").write_text("[plugins.locked]\nkey = 's3cret'\n")
    store = f"file://{tmp_path}/store"
    config = CheckpointConfig.load(backend=store, trigger_on_iteration=1, codec="locked")
    first = Graph(countdown(), id="recorded", checkpoint_config=config)
    await first.run({"limit": 3})
    await first.checkpoint_backend.close()  # type: ignore[union-attr]
    del first, config
    gc.collect()

    with pytest.raises(DeserializationError, match="'locked'"):
        await loaded(open_backend(store))
    with_key = open_backend(store, codec={"locked": {"key": "s3cret"}})
    checkpoint = await loaded(with_key)
    assert checkpoint.config["checkpoint"]["codec"] == [{"locked": {"key": "***"}}]
    await with_key.close()

    back, _ = CheckpointConfig.from_data(checkpoint.config["checkpoint"], backend=open_backend("memory"))
    assert back is not None
    assert [codec.key for codec in back.codec] == [b"s3cret"]  # type: ignore[union-attr]
    (tmp_path / "project" / "spark.toml").unlink()
    with pytest.raises(
        ValueError, match=r"'locked' has secret options, which are not recorded: key. Set them in the table"
    ):
        CheckpointConfig.from_data(checkpoint.config["checkpoint"], backend=open_backend("memory"))


async def test_a_format_that_is_not_installed_is_an_error_that_says_what_to_install(shop: Site, tmp_path: Path) -> None:
    checkpoint = await saved(f"file://{tmp_path}/store")
    checkpoint.config["checkpoint"]["serializer"] = {"nowhere": {}}

    with pytest.raises(GraphRestoreError, match="No installed plugin provides the serializer 'nowhere'"):
        restored(checkpoint)
    await open_store(checkpoint).close()


@pytest.mark.parametrize("data", [[{"webhook": 5}], [{}], "x", [{"a": {}, "b": {}}], [7]], ids=str)
def test_handlers_that_nobody_can_have_recorded_are_named(shop: Site, data: Any) -> None:
    back, lost = CheckpointConfig.from_data({"handlers": json.loads(json.dumps(data))}, backend=open_backend("memory"))

    assert back is not None
    assert back.handler is None
    assert data == "x" or "is not called" in lost[0]
