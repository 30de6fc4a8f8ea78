"""What plugins provide is chosen by name, with options, in the program or in a file."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, PluginError, PluginNotFoundError, SparkError
from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, InMemoryCheckpointBackend, open_backend
from tests.support.running import countdown
from tests.support.sites import Site

SETTINGS = """
[checkpoint]
url = "memory://"
serializer = "upper"
[checkpoint.trigger.cost_budget]
dollars = 5
[checkpoint.retention.keep_last]
count = 20
[plugins.webhook]
url = "http://127.0.0.1:9000/hook"
"""
IN_PYPROJECT = SETTINGS.replace("[checkpoint", "[tool.spark.checkpoint").replace("[plugins", "[tool.spark.plugins")


def plugin() -> Any:
    return importlib.import_module("fake_shop_plugin")


def handlers(config: CheckpointConfig) -> list[Any]:
    assert isinstance(config.handler, tuple)
    return [*config.handler]


def said_of(**arguments: Any) -> str:
    with pytest.raises(SparkError) as caught:
        CheckpointConfig(**arguments)
    return str(caught.value)


@pytest.mark.parametrize(("file", "settings"), [("spark.toml", SETTINGS), ("pyproject.toml", IN_PYPROJECT)])
def test_everything_in_a_file_is_made_with_its_options(project: Path, shop: Site, file: str, settings: str) -> None:
    (project / file).write_text(settings)

    config = CheckpointConfig.load()

    assert repr(config.combined_trigger()) == "CostBudget(5.0)"
    assert repr(config.combined_retention()) == "KeepLast(20)"
    assert isinstance(config.serializer, plugin().Upper)
    (webhook,) = handlers(config)
    assert (type(webhook), webhook.url) == (plugin().Webhook, "http://127.0.0.1:9000/hook")
    assert config.sources["handler"].endswith("plugins.webhook]")


def test_the_same_is_said_in_python(project: Path, shop: Site) -> None:
    config = CheckpointConfig(
        backend="memory",
        serializer="upper",
        trigger={"cost_budget": {"dollars": 5}},
        retention={"keep_last": {"count": 20}},
        handler={"webhook": {"url": "http://127.0.0.1:9000/hook"}},
    )

    (project / "spark.toml").write_text(SETTINGS)
    loaded = CheckpointConfig.load()
    assert repr(config.combined_trigger()) == repr(loaded.combined_trigger())
    assert handlers(config) == handlers(loaded)
    assert repr(config).replace("'memory'", "'memory://'") == repr(loaded)


async def test_a_name_an_instance_and_a_list_of_both_are_handlers(project: Path, shop: Site) -> None:
    class Mine(CheckpointHandler):
        heard = 0

        def on_checkpoint_created(self, checkpoint: Any) -> None:
            self.heard += 1

    mine = Mine()
    config = CheckpointConfig(handler=[mine, "counter", {"webhook": {"url": "http://x"}}])

    await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 1})

    _, counter, webhook = handlers(config)
    assert (mine.heard, counter.count, webhook.told) == (1, 1, [("created", "g")])


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("cost_budget", None),
        ({"cost_budget": {"dollars": 2}, "every_iterations": {"count": 3}}, "CostBudget(2.0) | EveryIterations(3)"),
        ({"any": [{"cost_budget": {"dollars": 2}}, {"after_node": {"names": ["a", "b"]}}]},
         "CostBudget(2.0) | AfterNode('a', 'b')"),
        ({"all": [{"every_iterations": {"count": 1}}, {"any": ["within_overhead", {"every_seconds": {"seconds": 1}}]}]},
         "EveryIterations(1) & (WithinOverhead(0.05) | EverySeconds(1))"),
    ],
)  # fmt: skip
def test_triggers_combine(shop: Site, given: Any, rule: str | None) -> None:
    if rule is None:
        assert said_of(trigger=given) == "CheckpointConfig(trigger=…): the trigger 'cost_budget' needs dollars."
        return
    assert repr(CheckpointConfig(trigger=given).combined_trigger()) == rule


def test_retention_combines_so_that_what_one_rule_keeps_is_kept(shop: Site) -> None:
    several = CheckpointConfig(retention={"keep_last": {"count": 2}, "keep_for": {"days": 7}})
    both = CheckpointConfig(retention={"all": [{"keep_last": {"count": 2}}, "keep_all"]})

    assert repr(several.combined_retention()) == "(KeepLast(2) | KeepFor(seconds=604800))"
    assert repr(both.combined_retention()) == "(KeepLast(2) & KeepAll())"


def test_all_mistakes_of_all_arguments_are_reported_together(shop: Site) -> None:
    *lines, last = said_of(
        trigger={"cost_budget": {"dollar": 5}},
        retention={"keep_last": {"count": "five"}},
        handler={"webhook": {"token": 5, "urll": "http://x"}},
        format="jsn",
    ).splitlines()

    assert lines == [
        "CheckpointConfig(trigger=…).cost_budget.dollar: the trigger 'cost_budget' has no such option. Did you mean 'dollars'?",
        "CheckpointConfig(trigger=…).cost_budget: the trigger 'cost_budget' needs dollars.",
        "CheckpointConfig(retention=…).keep_last.count: it is text; the retention 'keep_last' takes a whole number.",
        "CheckpointConfig(handler=…).webhook.urll: the observer 'webhook' has no such option. Did you mean 'url'?",
        "CheckpointConfig(handler=…).webhook.url: it is missing.",
        "CheckpointConfig(handler=…).webhook.token: it is a whole number; the observer 'webhook' takes text.",
    ]
    assert last.startswith(
        "CheckpointConfig(format=…): No installed plugin provides the format 'jsn'; installed: json, "
    )
    assert last.endswith("Did you mean 'json'?")


def test_an_option_that_is_one_of_a_few_words_is_told_which(shop: Site) -> None:
    assert said_of(trigger={"when_improved": {"metric": "loss", "mode": "mn"}}) == (
        "CheckpointConfig(trigger=…).when_improved.mode: it is text; the trigger 'when_improved' takes 'max' or 'min'. Did you "
        "mean 'min'?"
    )


@pytest.mark.parametrize(
    ("option", "value", "fits"),
    [("days", "x", "a whole number"), ("timezone", 5, "text"), ("days", [1], "a whole number")],
)
def test_what_an_option_takes_is_said_in_the_words_of_files(option: str, value: Any, fits: str) -> None:
    said = said_of(retention={"keep_daily": {option: value}})

    assert said.endswith(f"the retention 'keep_daily' takes {fits}.")


@pytest.mark.parametrize("kind", ["trigger", "retention"])
@pytest.mark.parametrize("given", [["every_iterations"], []])
def test_several_rules_are_not_given_as_a_list(kind: str, given: Any) -> None:
    said = said_of(**{kind: given})

    assert said.startswith(f'CheckpointConfig({kind}=…): of several, say how they combine. Write {{"any": […]}} if ')


@pytest.mark.parametrize(
    ("given", "it_is"),
    [
        ({"every_iterations": {"count": 1}}, "a table"),
        ("every_iterations", "text"),
        ([], "empty"),
        (5, "a whole number"),
    ],
)
@pytest.mark.parametrize("kind", ["trigger", "retention"])
@pytest.mark.parametrize("combined", ["any", "all"])
def test_what_any_and_all_combine_is_a_list(kind: str, combined: str, given: Any, it_is: str) -> None:
    assert said_of(**{kind: {combined: given}}) == (
        f"CheckpointConfig({kind}=…).{combined}: give an array of rules, each a name or {{name: {{option: value}}}}; it is "
        f"{it_is}."
    )


def test_none_is_no_option(shop: Site) -> None:
    assert said_of(trigger={"every_iterations": {"count": None}}).endswith(
        "it is None; the trigger 'every_iterations' takes a whole number."
    )


def test_all_mistakes_of_a_file_are_reported_together(project: Path, shop: Site) -> None:
    (project / "spark.toml").write_text(
        "[checkpoint]\nenabled = 5\ncost_budget = {dollars = 5}\n[checkpoint.trigger.cost_budget]\ndollars = 'five'\n"
        "[plugins.webhook]\nurl = 5\n[plugins.countr]\n[plugins.keep_odd]\ndollas = 1\n"
    )

    with pytest.raises(GraphDefinitionError) as caught:
        CheckpointConfig.load()

    assert str(caught.value).splitlines() == [
        "spark.toml:[checkpoint] enabled: give true or false; it is a whole number.",
        "spark.toml:[checkpoint] cost_budget: there is no such setting. 'cost_budget' is a trigger, which goes under trigger: "
        "[checkpoint.trigger.cost_budget] in a file, trigger={'cost_budget': {…}} in Python.",
        "spark.toml:[checkpoint] trigger.cost_budget.dollars: it is text; the trigger 'cost_budget' takes a number.",
        "spark.toml:[plugins.webhook] url: it is a whole number; the observer 'webhook' takes text.",
        "spark.toml:[plugins.countr]: No installed plugin provides the observer 'countr'; installed: counter, otel, webhook. Did "
        "you mean 'counter'?",
        "spark.toml:[plugins.keep_odd] dollas: the retention 'keep_odd' has no such option. Known options: none.",
    ]


def test_a_trigger_that_is_given_as_an_argument_of_load_is_told_where_it_goes(project: Path, shop: Site) -> None:
    with pytest.raises(GraphDefinitionError, match="'cost_budget' is a trigger, which goes under trigger: ") as caught:
        CheckpointConfig.load(cost_budget={"dollars": 5})

    assert "trigger_on_node" not in str(caught.value)


def test_what_is_given_as_another_kind_is_told_apart(shop: Site) -> None:
    assert said_of(trigger="webhook") == (
        "CheckpointConfig(trigger=…): 'webhook' is not a trigger, but the name of an observer."
    )


@pytest.mark.parametrize("argument", ["serializer", "format", "codec"])
def test_types_are_not_chosen(shop: Site, argument: str) -> None:
    assert said_of(**{argument: "numpy"}) == (
        f"CheckpointConfig({argument}=…): 'numpy' is not a {argument}. It names types that an installed plugin saves; they are "
        "active without being chosen, so leave it out."
    )


@pytest.mark.parametrize("backend", [InMemoryCheckpointBackend(), None])
def test_a_backend_that_exists_has_its_own_format(shop: Site, backend: Any) -> None:
    if backend is None:
        assert CheckpointConfig(serializer="upper").open_backend().record_codec.serializer == "fake_shop_plugin:Upper"
        return
    assert said_of(backend=backend, serializer="upper") == (
        "CheckpointConfig(serializer=…): this backend is an object, which has its serializer already. Give serializer= to its "
        "constructor, or give the backend by its URL or name."
    )


def test_a_serializer_can_be_named_to_a_backend(shop: Site) -> None:
    backend = InMemoryCheckpointBackend(serializer={"upper": {"marks": ["a", "b"]}})

    assert backend.record_codec.serializer == "fake_shop_plugin:Upper"


def test_a_mistake_in_a_url_is_told_with_its_place(shop: Site) -> None:
    config = CheckpointConfig(backend="memory://?format=jsn")

    with pytest.raises(PluginNotFoundError, match=r"^CheckpointConfig\(backend=…\): format: .*Did you mean 'json'\?"):
        Graph(start=ExitNode(), id="one", checkpoint_config=config)


def test_a_backend_that_needs_more_than_its_name_says_what() -> None:
    with pytest.raises(
        ValueError, match=r"^The backend 'file' needs directory\. Give its URL, or these: in a file under \[checkpoint"
    ):
        open_backend("file")


def test_an_instance_wins_over_a_file_that_names_a_format(project: Path, shop: Site) -> None:
    (project / "spark.toml").write_text("[checkpoint]\nformat = 'json'\nserializer = 'upper'\n")
    backend = InMemoryCheckpointBackend()

    config = CheckpointConfig.load(backend=backend)

    assert (config.open_backend(), config.format, config.sources["format"]) == (backend, None, "default")


def test_the_format_comes_from_an_argument_the_environment_or_a_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text("[tool.spark.checkpoint]\nformat = 'from_pyproject'\n")
    monkeypatch.setenv("SPARK_CHECKPOINT_FORMAT", "from_environment")

    assert CheckpointConfig.load(format="json").sources["format"] == "argument"
    with pytest.raises(PluginNotFoundError, match=r"^SPARK_CHECKPOINT_FORMAT: .*'from_environment'"):
        CheckpointConfig.load()
    monkeypatch.setenv("SPARK_CHECKPOINT_FORMAT", "")
    with pytest.raises(PluginNotFoundError, match=r"^pyproject.toml:\[tool.spark.checkpoint\] format: "):
        CheckpointConfig.load()


class TestTablesOfPlugins:
    """``[plugins.NAME]`` configures an observer, and completes what is chosen by its name."""

    def test_switched_off_means_not_notified(self, project: Path, shop: Site) -> None:
        (project / "spark.toml").write_text(
            "[plugins.webhook]\nenabled = false\nurl = 'http://x'\n[plugins.not_installed]\nenabled = false\n"
        )

        config = CheckpointConfig.load()

        assert [type(each).__name__ for each in handlers(config)] == ["SwitchedOff", "SwitchedOff"]

    async def test_an_observer_can_be_limited_to_graphs(self, project: Path, shop: Site) -> None:
        (project / "spark.toml").write_text("[plugins.webhook]\nurl = 'http://x'\ngraphs = ['orders-*', 'other']\n")
        config = CheckpointConfig.load()

        for graph_id in ("orders-1", "Orders-2", "others", "other"):
            await Graph(countdown(), id=graph_id, checkpoint_config=config).run({"limit": 1})

        (webhook,) = handlers(config)
        assert webhook.told == [("created", "orders-1"), ("created", "other")]

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("graphs = 'orders-*'", "spark.toml:[plugins.webhook] graphs: give an array of patterns"),
            ("graphs = []", "spark.toml:[plugins.webhook] graphs: give an array of patterns"),
            ("enabled = 'no'", "spark.toml:[plugins.webhook] enabled: give true or false; it is text."),
        ],
    )
    def test_what_is_said_beside_its_options_is_checked(self, project: Path, shop: Site, line: str, said: str) -> None:
        (project / "spark.toml").write_text(f"[plugins.webhook]\nurl = 'http://x'\n{line}\n")

        with pytest.raises(GraphDefinitionError) as caught:
            CheckpointConfig.load()

        assert str(caught.value).startswith(said)

    def test_options_come_together_from_both_files(self, project: Path, shop: Site) -> None:
        (project / "spark.toml").write_text("[plugins.webhook]\ntoken = 's3cret'\n")
        (project / "pyproject.toml").write_text("[tool.spark.plugins.webhook]\nurl = 'http://x'\ntoken = 'other'\n")

        (webhook,) = handlers(CheckpointConfig.load())

        assert (webhook.url, webhook.token.get_secret_value()) == ("http://x", "s3cret")

    def test_they_complete_what_is_chosen_elsewhere(self, project: Path, shop: Site) -> None:
        (project / "spark.toml").write_text(
            "[checkpoint]\ntrigger = 'cost_budget'\n[plugins.cost_budget]\ndollars = 7\n"
            "[plugins.webhook]\nurl = 'http://x'\ntoken = 'of the file'\n"
        )

        config = CheckpointConfig.load(handler={"webhook": {"token": "mine"}})

        assert repr(config.combined_trigger()) == "CostBudget(7.0)"
        (webhook,) = handlers(config)
        assert (webhook.url, webhook.token.get_secret_value()) == ("http://x", "mine"), "once, not twice"

    @pytest.mark.parametrize(
        ("file", "settings"),
        [
            ("spark.toml", "[checkpoint]\nplugins = ['my_rules']\ntrigger = 'mine'"),
            ("spark.toml", "plugins = ['my_rules']\n[checkpoint]\ntrigger = 'mine'"),
            ("pyproject.toml", "[tool.spark]\nplugins = ['my_rules']\n[tool.spark.checkpoint]\ntrigger = 'mine'"),
        ],
    )
    def test_an_array_names_modules_whose_plugins_can_be_chosen(
        self, project: Path, shop: Site, monkeypatch: pytest.MonkeyPatch, file: str, settings: str
    ) -> None:
        (shop.folder / "my_rules.py").write_text(
            "from spark.graphs.checkpoint import EveryIterations\nfrom spark.hooks import TriggerSpec, hookimpl\n\n"
            "class Mine(EveryIterations):\n    name = 'mine'\n    def __init__(self): super().__init__(3)\n\n"
            "@hookimpl\ndef spark_triggers():\n    return [TriggerSpec(name='mine', target='my_rules:Mine')]\n"
        )
        (project / file).write_text(settings)

        for _ in range(2):  # a program may load any number of times
            assert type(CheckpointConfig.load().combined_trigger()).__name__ == "Mine"

    def test_a_module_that_is_not_there_is_named(self, project: Path, shop: Site) -> None:
        (project / "spark.toml").write_text("[checkpoint]\nplugins = ['my_rulez']\n")

        with pytest.raises(PluginError, match=r"^spark.toml:\[checkpoint\] plugins: .*my_rulez"):
            CheckpointConfig.load()

    @pytest.mark.parametrize("given", ["'my_rules'", "[5]", "['']"])
    def test_what_is_no_array_of_names_is_refused(self, project: Path, given: str) -> None:
        (project / "spark.toml").write_text(f"[checkpoint]\nplugins = {given}\n")

        with pytest.raises(GraphDefinitionError, match=r"^spark.toml:\[checkpoint\] plugins: "):
            CheckpointConfig.load()

    def test_an_array_names_modules_and_not_both_are_there(self, project: Path) -> None:
        (project / "spark.toml").write_text("plugins = ['a']\n[checkpoint]\nplugins = ['b']\n")

        with pytest.raises(GraphDefinitionError, match=r"spark.toml plugins: spark.toml:\[checkpoint\] plugins is set"):
            CheckpointConfig.load()


class TestInstalledObservers:
    """One that needs no options is active as soon as it is installed."""

    async def test_it_is_notified_of_every_checkpointed_graph(self, project: Path, shop: Site) -> None:
        for graph_id in ("a", "b"):
            await Graph(countdown(), id=graph_id, checkpoint_config=CheckpointConfig()).run({"limit": 1})

        (counter,) = plugin().Counter.made
        assert counter.count == 2

    async def test_it_can_be_configured_or_switched_off(self, project: Path, shop: Site) -> None:
        (project / "spark.toml").write_text("[plugins.counter]\nstart = 100\n")
        configured = CheckpointConfig.load()
        (project / "spark.toml").write_text("[plugins.counter]\nenabled = false\n")
        off = CheckpointConfig.load()

        for config in (configured, off):
            await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 1})

        assert [each.count for each in plugin().Counter.made] == [101]

    async def test_one_that_can_not_be_made_is_left_out(
        self, project: Path, shop: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop.install(
            "fake-bad",
            """
            from spark.graphs.checkpoint import CheckpointHandler
            from spark.hooks import ObserverSpec, hookimpl

            class Bad(CheckpointHandler):
                def __init__(self):
                    raise OSError("no network")

            @hookimpl
            def spark_observers():
                return [ObserverSpec(name="bad", target="fake_bad_plugin:Bad")]
            """,
        )

        await Graph(countdown(), id="g", checkpoint_config=CheckpointConfig()).run({"limit": 1})

        assert "The observer 'bad' is not notified of anything: " in caplog.text
        assert "no network" in caplog.text
        assert [each.count for each in plugin().Counter.made] == [1]


class TestSecrets:
    """They are shown by nothing."""

    GIVEN = {  # noqa: RUF012
        "url": "http://me:s3cret@host/hook",
        "token": "s3cret",
        "headers": {"Authorization": "Bearer s3cret", "Accept": "json"},
    }

    def test_a_configuration_shows_none(self, shop: Site) -> None:
        config = CheckpointConfig(handler={"webhook": self.GIVEN})

        assert "s3cret" not in repr(config)
        assert (
            "handler=[{'webhook': {'url': 'http://me:***@host/hook', 'token': '***', "
            "'headers': {'Authorization': '***', 'Accept': 'json'}}}]"
        ) in repr(config)

    def test_an_error_shows_none(self, shop: Site) -> None:
        shop.install(
            "fake-loud",
            """
            from spark.graphs.checkpoint import CheckpointHandler
            from spark.hooks import ObserverSpec, hookimpl

            class Loud(CheckpointHandler):
                def __init__(self, token: str) -> None:
                    raise ValueError(f"the token {token} is too short")

            @hookimpl
            def spark_observers():
                return [ObserverSpec(name="loud", target="fake_loud_plugin:Loud")]
            """,
        )

        with pytest.raises(GraphDefinitionError, match=r"the token \*\*\* is too short") as caught:
            CheckpointConfig(handler={"loud": {"token": "s3cret-and-long"}})

        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


async def test_a_rule_that_is_set_later_counts_from_the_next_run_on() -> None:
    """A configuration can be changed between runs; what it says is what happens."""
    backend = InMemoryCheckpointBackend()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
    graph = Graph(start=ExitNode(), id="changed", checkpoint_config=config)
    config.retention = {"keep_last": {"count": 1}}
    for _ in range(3):
        await graph.run()

    assert len((await backend.list("changed")).infos) == 1
