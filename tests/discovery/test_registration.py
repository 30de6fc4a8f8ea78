"""Plugins registered in code take part like installed ones, from when they are registered until they are not."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pluggy
import pytest

import spark
from spark.errors import PluginBrokenError, PluginConflictError, PluginNotFoundError
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig, EverySeconds, InMemoryCheckpointBackend, trigger_class
from spark.hooks import TriggerSpec, events, hookimpl, plugins, register, unregister
from spark.hooks.registration import register_modules
from tests.discovery import sources
from tests.discovery.conftest import WORKSPACE_PLUGINS
from tests.support.running import countdown
from tests.support.sites import Site


class Own:
    """What a program or a test would register."""

    def __init__(self, name: str = "own", **fields: Any) -> None:
        self.name, self.fields, self.heard = name, fields, list[str]()

    @hookimpl
    def spark_triggers(self) -> list[TriggerSpec]:
        return [TriggerSpec(name=self.name, target=f"{__name__}:OwnTrigger", **self.fields)]

    @hookimpl
    def spark_checkpoint_created(self, info: Any) -> None:
        self.heard.append(info.checkpoint_id)


class OwnTrigger(EverySeconds):
    name = "own"


def names() -> list[str]:
    return [info.name for info in plugins()]


@pytest.mark.parametrize("is_scanned", [False, True])
async def test_what_is_registered_is_chosen_by_name_and_notified_until_it_is_not(site: Site, is_scanned: bool) -> None:
    if is_scanned:
        plugins()
    own = Own()
    config = {"backend": InMemoryCheckpointBackend(), "trigger_on_iteration": 1}

    with register(own) as registration:
        assert trigger_class("own") is OwnTrigger
        await Graph(
            countdown(), id="g", checkpoint_config=CheckpointConfig(**config, trigger={"own": {"seconds": 9}})
        ).run({"limit": 2})
        heard = len(own.heard)
        assert heard > 0
        assert [info for info in plugins() if info.name == "Own"] == [registration.info]
        assert registration.info.source == "registered in code"
        assert registration.info.provides == ("trigger:own", "event:spark_checkpoint_created")

    with pytest.raises(PluginNotFoundError):
        trigger_class("own")
    await Graph(countdown(), id="h", checkpoint_config=CheckpointConfig(**config)).run({"limit": 2})
    assert len(own.heard) == heard
    assert "Own" not in names()


def test_registering_loads_no_other_plugin(site: Site, run_fresh: Callable[..., str]) -> None:
    site.install("fake-noisy", "print('imported')")

    printed = run_fresh("""
        from types import SimpleNamespace
        from spark.hooks import hookimpl, register, unregister
        @hookimpl
        def spark_checkpoint_deleted(): ...
        print(register(SimpleNamespace(spark_checkpoint_deleted=spark_checkpoint_deleted), name="mine").info.provides)
        unregister("mine")
    """)

    assert printed == "('event:spark_checkpoint_deleted',)\n"


def module_with(source: str) -> ModuleType:
    module = ModuleType("made_here")
    exec(source, vars(module))
    return module


class Namespace:
    @staticmethod
    @hookimpl
    def spark_checkpoint_deleted() -> None: ...


@pytest.mark.parametrize(
    ("plugin", "name"),
    [
        (module_with(sources.LISTENS), "made_here"),
        (SimpleNamespace(**{"spark_checkpoint_deleted": hookimpl(lambda: None)}), "SimpleNamespace"),
        (Namespace, "Namespace"),
        (Namespace(), "Namespace"),
    ],
    ids=["module", "namespace", "class", "instance"],
)
def test_modules_objects_and_classes_with_hooks_can_be_registered(site: Site, plugin: Any, name: str) -> None:
    register(plugin)

    (listener,) = events.listeners("spark_checkpoint_deleted")
    assert listener.plugin == f"plugin {name!r} registered in code"

    unregister(plugin)

    assert events.listeners("spark_checkpoint_deleted") == ()


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (
            Own,
            "The hook 'spark_checkpoint_created' is skipped. It takes self, but Own is a class: give an instance of it.",
        ),
        (
            SimpleNamespace(),
            "It has no hooks. Mark each function that implements one with @hookimpl (from spark.hooks).",
        ),
        (Own("Upper"), "The trigger 'Upper' is skipped. Its name 'Upper' can't be used"),
        (Own(api_version=(2, 3)), "The trigger 'own' is skipped. It is written for versions 2 to 3"),
        (3, "It has no hooks."),
        (
            "my_app.plugins",
            "It is text. Give the module itself: import my_app.plugins, or name it in the setting plugins.",
        ),
    ],
    ids=["class", "nothing", "name", "version", "number", "text"],
)
def test_what_is_wrong_is_an_error_of_whoever_registers_it(site: Site, plugin: Any, said: str) -> None:
    with pytest.raises(PluginBrokenError) as raised:
        register(plugin, name="mine")

    assert "'mine' can't be registered: " in str(raised.value)
    assert said in str(raised.value)
    assert "mine" not in names()


def test_a_hook_that_raises_is_chained(site: Site) -> None:
    def fail() -> list[TriggerSpec]:
        raise OSError("no rules today")

    with pytest.raises(PluginBrokenError, match="no rules today") as raised:
        register(SimpleNamespace(spark_triggers=hookimpl(specname="spark_triggers")(fail)))

    assert isinstance(raised.value.__cause__, OSError)


def test_a_name_that_is_taken_is_refused(site: Site) -> None:
    site.install("fake-good", sources.GOOD)
    first = Own()
    register(first, name="mine")

    with pytest.raises(
        PluginConflictError, match="'mine' can't be registered: there is the plugin 'mine' registered in code"
    ):
        register(Own("other"), name="mine")
    with pytest.raises(
        PluginConflictError, match="'again' can't be registered: it is the plugin 'mine' registered in code already"
    ):
        register(first, name="again")
    with pytest.raises(
        PluginConflictError, match="the plugin 'mine' registered in code provides the trigger 'own' already"
    ):
        register(Own(), name="again")
    with pytest.raises(
        PluginConflictError, match=r"'builtin' of spark-graphs .* provides the trigger 'every_seconds' already"
    ):
        register(Own("every_seconds"), name="again")
    plugins()
    with pytest.raises(PluginConflictError, match=r"there is the plugin 'good' of fake-good 1.0"):
        register(Own("other"), name="good")

    assert trigger_class("own") is OwnTrigger


def test_a_name_that_an_installed_plugin_turns_out_to_have_is_a_conflict_when_it_is_used(site: Site) -> None:
    """As between two that are installed. Registering does not load the others to find out."""
    site.install("fake-own", sources.returns("spark_triggers", "[TriggerSpec(name='own', target='m:C')]"))
    register(Own(), name="mine")

    with pytest.raises(PluginConflictError) as raised:
        trigger_class("own")

    assert "the plugin 'mine' registered in code and the plugin 'own' of fake-own 1.0" in str(raised.value)


def test_unregistering_what_is_not_registered_says_what_is(site: Site) -> None:
    site.install("fake-good", sources.GOOD)
    register(Own(), name="mine")

    with pytest.raises(PluginNotFoundError, match=r"No plugin 'mind' is registered in code. Did you mean 'mine'\?"):
        unregister("mind")
    with pytest.raises(PluginNotFoundError, match=r"'good' .*Registered are: mine. .*set SPARK_DISABLE_PLUGINS"):
        unregister("good")
    with pytest.raises(PluginNotFoundError, match="No plugin 'Own' is registered"):
        unregister(Own())


def test_it_may_be_unregistered_within_its_block(site: Site) -> None:
    with register(Own(), name="mine"):
        unregister("mine")
        register(Own(), name="mine")  # another one, which the end of the block leaves alone

    assert "mine" in names()


def test_the_block_list_applies_by_name_and_the_allow_list_does_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One says what must not be used; the other what may be imported because it is installed."""
    monkeypatch.setenv("SPARK_PLUGINS", "")
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", f"{WORKSPACE_PLUGINS},Own_Blocked")
    blocked = Own("blocked")

    register(blocked, name="own.blocked")
    register(Own(), name="mine")

    status = {info.name: (info.status, info.reason) for info in plugins()}
    assert status["mine"] == ("loaded", "")
    assert status["own.blocked"][0] == "blocked"
    assert "SPARK_DISABLE_PLUGINS lists 'own-blocked'" in status["own.blocked"][1]
    with pytest.raises(PluginNotFoundError, match=r"plugin 'own.blocked' registered in code \(blocked\)"):
        trigger_class("blocked")
    unregister(blocked)


def test_threads_that_register_and_ask_see_whole_plugins(site: Site) -> None:
    """Each sees its own plugin from its registration on, whoever else comes and goes meanwhile."""
    site.install("fake-good", sources.GOOD)
    wrong: list[object] = []

    def come_and_go(number: int) -> None:
        for _ in range(20):
            with register(Own(f"own{number}"), name=f"mine{number}"):
                if trigger_class(f"own{number}") is not OwnTrigger:
                    wrong.append(number)
            if f"mine{number}" in names():
                wrong.append(number)

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert not any(name.startswith("mine") for name in names())


def test_a_plugin_may_register_another_while_it_is_loaded(site: Site) -> None:
    """As a package does whose import registers what it brings, and which an entry point names too."""
    site.install(
        "fake-double",
        f"{sources.LISTENS}\nimport fake_other, spark.hooks\nspark.hooks.register(fake_other)",
        fake_other=sources.LISTENS,
    )

    assert [name for name in names() if name in ("double", "fake_other")] == ["fake_other", "double"]
    assert len(events.listeners("spark_checkpoint_deleted")) == 2


def test_a_package_that_registers_when_it_is_imported_does_not_wait_for_a_scan_that_waits_for_it(site: Site) -> None:
    """One thread imports the package, another one a plugin that imports it, too. With one lock for both, neither would end."""
    events_of = "import threading\nbegun, scanning = threading.Event(), threading.Event()\n"
    package = "import fake_events, fake_rules, spark.hooks\nfake_events.begun.set()\nfake_events.scanning.wait(60)\n"
    (site.folder / "fake_events.py").write_text(events_of)
    (site.folder / "fake_rules.py").write_text(sources.LISTENS)
    (site.folder / "fake_package.py").write_text(f"{package}spark.hooks.register(fake_rules)\n")
    waits = "import fake_events\nfake_events.begun.wait(60)\nfake_events.scanning.set()\nimport fake_package\n"
    site.install("fake-slow", sources.LISTENS + waits)

    importing = threading.Thread(target=importlib.import_module, args=("fake_package",), daemon=True)
    importing.start()
    found = names()
    importing.join(60)

    assert not importing.is_alive()
    assert "slow" in found
    assert "fake_rules" in names()


PLACE = "spark.toml [checkpoint] plugins"


@pytest.mark.parametrize("is_scanned", [False, True])
def test_modules_that_settings_name_are_registered_once(site: Site, is_scanned: bool) -> None:
    counts = "calls = []\n@hookimpl\ndef spark_triggers():\n    calls.append(1)\n    return []\n"
    (site.folder / "my_rules.py").write_text(sources.LISTENS + counts)
    if is_scanned:
        plugins()

    register_modules(["my_rules"], place=PLACE)
    register_modules(["my_rules"], place="pyproject.toml [tool.spark.checkpoint] plugins")

    assert [info.source for info in plugins() if info.name == "my_rules"] == [f"named in {PLACE}"]
    assert importlib.import_module("my_rules").calls == [1]
    assert len(events.listeners("spark_checkpoint_deleted")) == 1


@pytest.mark.parametrize("is_scanned", [False, True])
def test_a_module_that_is_installed_as_well_is_used_once(site: Site, is_scanned: bool) -> None:
    site.install("fake-own", sources.LISTENS)
    if is_scanned:
        plugins()

    register_modules(["fake_own_plugin"], place=PLACE)

    assert len(events.listeners("spark_checkpoint_deleted")) == 1
    (installed,) = (info for info in plugins() if info.name == "own")
    assert (installed.status, installed.reason) == (
        ("loaded", "") if is_scanned else ("blocked", f"It is named in {PLACE} already, as 'fake_own_plugin'.")
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_like_it", "Importing my_rules failed: ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("exit(3)", "Importing my_rules failed: SystemExit: 3"),
        ("", "'my_rules' can't be registered: It has no hooks."),
        (sources.MISSPELT_HOOK, "The hook 'spark_backend' is skipped. There is no hook spark_backend."),
    ],
)
def test_a_module_that_can_not_be_registered_is_named_with_file_and_key(site: Site, source: str, said: str) -> None:
    (site.folder / "my_rules.py").write_text("\n".join(line.removeprefix("    ") for line in source.splitlines()))

    with pytest.raises(PluginBrokenError) as raised:
        register_modules(["my_rules"], place=PLACE)

    assert str(raised.value).startswith(f"{PLACE}: ")
    assert said in str(raised.value)


def test_a_package_without_hooks_is_answered_with_the_module_that_may_have_them(site: Site) -> None:
    (site.folder / "my_app").mkdir()
    (site.folder / "my_app" / "__init__.py").write_text("")
    (site.folder / "my_app" / "spark_plugins.py").write_text(sources.LISTENS)

    with pytest.raises(PluginBrokenError, match=r"Name the module that has them: my_app\.spark_plugins\.$"):
        register_modules(["my_app"], place=PLACE)


def test_a_module_that_the_block_list_names_is_not_imported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", f"{WORKSPACE_PLUGINS},my_rules")
    (site.folder / "my_rules.py").write_text("raise RuntimeError('imported')")

    for _ in range(2):
        register_modules(["my_rules"], place=PLACE)

    assert [info.status for info in plugins() if info.name == "my_rules"] == ["blocked"]
    assert "my_rules" not in sys.modules


def test_an_installed_twin_does_not_harm_what_is_registered(site: Site) -> None:
    target = "spark.graphs.checkpoint:EverySeconds"
    site.install("fake-own", sources.returns("spark_triggers", f"[TriggerSpec(name='twice', target={target!r})]"))
    module = importlib.import_module("fake_own_plugin")

    register(module, name="mine")

    status = {info.name: (info.status, info.reason) for info in plugins()}
    assert status["mine"] == ("loaded", "")
    assert status["own"] == ("blocked", "It is registered in code already, as 'mine'.")
    assert trigger_class("twice") is EverySeconds


def test_a_class_of_the_program_itself_can_be_provided(site: Site, run_fresh: Callable[..., str]) -> None:
    """As in a notebook, where nothing is in a module that could be imported."""
    printed = run_fresh("""
        from spark.graphs.checkpoint import EverySeconds, trigger_class
        from spark.hooks import TriggerSpec, hookimpl, register

        class Mine(EverySeconds):
            name = "mine"

        class Plugin:
            @hookimpl
            def spark_triggers(self):
                return [TriggerSpec(name="mine", target="__main__:Mine")]

        register(Plugin())
        print(trigger_class("mine") is Mine)
    """)

    assert printed == "True\n"


def test_it_works_in_an_app_without_any_metadata(tmp_path: Path) -> None:
    """As one that was packed by hand: no distribution is found in it, not even the core."""
    core, others = Path(spark.__path__[0]), Path(pluggy.__path__[0]).parent
    for module in (core, *(each for each in others.iterdir() if not each.name.endswith((".dist-info", ".pth")))):
        (tmp_path / module.name).symlink_to(module)
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from spark.hooks import BackendSpec, hookimpl, plugins, register
class Plugin:
    @hookimpl
    def spark_backends(self):
        return [BackendSpec(name="mine", target="m:C")]
register(Plugin())
print([(info.label, info.status) for info in plugins()])
"""

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=200, check=False
    )

    assert done.stdout == (
        "[(\"plugin 'builtin' of spark-graphs unknown\", 'loaded'), (\"plugin 'Plugin' registered in code\", 'loaded')]\n"
    ), done.stderr


def test_a_class_name_can_be_imported_as_long_as_its_plugin_is_there(site: Site) -> None:
    (site.folder / "good_backend.py").write_text(textwrap.dedent(sources.GOOD_BACKEND))
    plugin = module_with(textwrap.dedent(sources.GOOD))

    with register(plugin):
        from spark.graphs.checkpoint import GoodBackend  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        from spark.graphs.checkpoint import GoodBackend  # noqa: F401
