"""From a name or URL to a class, or to an error that says what to do."""

import sys
from collections.abc import Callable

import pytest

from spark.errors import PluginBrokenError, PluginConflictError, PluginNotFoundError, PluginWarning
from spark.graphs.checkpoint import (
    backend_class,
    observer_class,
    open_backend,
    retention_class,
    serializer_class,
    trigger_class,
)
from spark.graphs.checkpoint.storage import codec_class, format_class
from spark.hooks.registry import class_to_import, provider_of
from tests.discovery import sources
from tests.discovery.sources import claims, returns
from tests.support.sites import Site


@pytest.fixture
def good(site: Site) -> Site:
    site.install("fake-good", sources.GOOD, good_backend=sources.GOOD_BACKEND)
    return site


@pytest.mark.parametrize("asked", ["good", "good://somewhere", "GOOD://somewhere", "good:relative", "good+driver://x"])
def test_a_backend_is_found_by_name_url_or_scheme(good: Site, asked: str) -> None:
    assert backend_class(asked).__name__ == "GoodBackend"


def test_the_class_is_imported_when_it_is_used(good: Site) -> None:
    with pytest.raises(PluginNotFoundError):
        backend_class("another")
    assert "good_backend" not in sys.modules

    format_class("goodfmt")

    assert "good_backend" in sys.modules


@pytest.mark.parametrize(
    ("look_up", "hook", "base"),
    [
        (trigger_class, "spark_triggers", "spark.graphs.checkpoint:EverySeconds"),
        (retention_class, "spark_retentions", "spark.graphs.checkpoint:KeepLast"),
        (serializer_class, "spark_serializers", "spark.graphs.checkpoint:CheckpointSerializer"),
        (observer_class, "spark_observers", "spark.graphs.checkpoint:CheckpointHandler"),
        (codec_class, "spark_codecs", "spark.graphs.checkpoint.storage:Codec"),
    ],
)
def test_each_kind_is_found_by_name_and_checked(
    site: Site, look_up: Callable[[str], type], hook: str, base: str
) -> None:
    module, _, name = base.partition(":")
    encodes = "def encode(self, data): ...\n    def decode(self, data, limit): ..."
    mine = f"from {module} import {name}\nclass Mine({name}):\n    name = 'mine'\n    {encodes}\nclass Other: ...\n"
    spec = f"{hook.removeprefix('spark_').removesuffix('s').title()}Spec"
    specs = ", ".join(f"{spec}(name={each.lower()!r}, target='their_classes:{each}')" for each in ("Mine", "Other"))
    site.install("fake-mine", returns(hook, f"[{specs}]"), their_classes=mine)

    assert look_up("mine").__name__ == "Mine"
    with pytest.raises(PluginBrokenError, match=r"their_classes:Other is not a subclass of spark.graphs.checkpoint"):
        look_up("other")


def test_a_bare_name_constructs_and_a_url_describes(good: Site) -> None:
    by_name, by_url = open_backend("good", depth=1), open_backend("good://place?x=1", depth=2)

    assert (by_name.url, by_name.options) == (None, {"depth": 1})
    assert (by_url.url, by_url.options) == ("good://place?x=1", {"depth": 2})


@pytest.mark.parametrize("core_name", ["memory", "memory://"])
def test_the_memory_backend_costs_no_scan(site: Site, core_name: str) -> None:
    pytest.importorskip("spark.graphs.checkpoint.storage.memory")
    site.install("fake-bad", sources.FAILS_ON_IMPORT)  # a scan would warn

    assert backend_class(core_name).__name__ == "InMemoryCheckpointBackend"


def test_the_json_format_costs_no_scan(site: Site) -> None:
    pytest.importorskip("spark.graphs.checkpoint.encoding.json_format")
    site.install("fake-bad", sources.FAILS_ON_IMPORT)

    assert format_class("json").__name__ == "JsonFormat"


@pytest.mark.parametrize(
    ("look_up", "asked", "said"),
    [
        (backend_class, "file", "pip install 'spark-graphs[file]'"),
        (backend_class, "sqlite:///runs.db", "pip install 'spark-graphs[sql]'"),
        (backend_class, "sftp://host/folder", "pip install 'spark-graphs[fsspec]'"),
        (backend_class, "fsspec+memory://folder", "pip install 'spark-graphs[fsspec]'"),
        (backend_class, "postgresql+asyncpg://h/d", "pip install 'spark-graphs[postgresql]'"),
        (backend_class, "mysql://h/d", "pip install 'spark-graphs[mysql]'"),
        (backend_class, "mariadb://h/d", "pip install 'spark-graphs[mysql]'"),
        (backend_class, "s3://bucket", "pip install 'spark-graphs[s3]'"),
        (format_class, "pickle", "pip install 'spark-graphs[pickle]'"),
        (backend_class, "sqllite:///runs.db", "Did you mean 'sqlite'? To get that: pip install 'spark-graphs[sql]'"),
        (backend_class, "goood", "Did you mean 'good'?"),
        (backend_class, "goood", "No installed plugin provides the backend 'goood'; installed: good, memory."),
        (backend_class, "zzz://x", "provides the URL scheme 'zzz' (of 'zzz://x'); installed: good, memory."),
        (codec_class, "zzz", "provides the codec 'zzz'; installed: none. Check the spelling"),
        (trigger_class, "every_second", "Did you mean 'every_seconds'?"),
    ],
)
def test_an_unknown_name_comes_with_the_cure(good: Site, look_up: object, asked: str, said: str) -> None:
    # Our own distributions are installed beside this test; hide them, as if they were not.
    good.hide_our_plugins()

    with pytest.raises(PluginNotFoundError) as raised:
        look_up(asked)  # type: ignore[operator]

    assert said in str(raised.value)


def test_no_message_shows_a_password(good: Site) -> None:
    for url in (
        "nosuch://user:hunter2@host/db",
        "nosuch://host/db?password=hunter2",
        "user:hunter2@host",
        "host=h password=hunter2",
    ):
        with pytest.raises(PluginNotFoundError) as raised:
            open_backend(url)

        assert "hunter2" not in str(raised.value)
        assert "***" in str(raised.value)


@pytest.mark.parametrize("path", ["~/ck", "/var/ck", "./ck", "C\\ck"])
def test_a_path_in_the_place_of_a_url_says_how_to_write_it(site: Site, path: str) -> None:
    with pytest.raises(
        PluginNotFoundError, match=r"Give a folder as FileCheckpointBackend\(directory=…\), or as a URL"
    ):
        open_backend(path)


def test_two_claims_to_one_name_name_both_and_the_setting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("fake-one", claims("same", "one"), version="1.1")
    site.install("fake-two", claims("same", "two"), version="2.2")

    with pytest.raises(PluginConflictError) as raised:
        backend_class("same")

    assert str(raised.value) == (
        "The backend 'same' is claimed by the plugin 'one' of fake-one 1.1 and the plugin 'two' of fake-two 2.2. "
        "Uninstall one of them, or set SPARK_DISABLE_PLUGINS=fake-two to use the other."
    )


def test_two_claims_to_one_scheme_are_a_conflict_of_that_scheme_only(site: Site) -> None:
    site.install("fake-one", claims("one", "same"))
    site.install("fake-two", claims("two", "same"))

    with pytest.raises(PluginConflictError, match=r"URL scheme 'same'.*fake-one.*fake-two"):
        backend_class("same://x")
    with pytest.raises(PluginBrokenError, match="nowhere:Nothing"):
        backend_class("one")


def test_the_setting_that_the_conflict_names_decides(site: Site, run_fresh: object) -> None:
    site.install("fake-good", sources.GOOD, good_backend=sources.GOOD_BACKEND)
    site.install("fake-rival", claims("good"))

    printed = run_fresh(  # type: ignore[operator]
        """
        from spark.errors import PluginConflictError
        from spark.graphs.checkpoint import backend_class
        from spark.hooks import discovery
        import os
        try:
            backend_class("good")
        except PluginConflictError as error:
            os.environ["SPARK_DISABLE_PLUGINS"] = str(error).partition("SPARK_DISABLE_PLUGINS=")[2].split()[0]
        discovery.reset()
        print(backend_class("good").__name__)
        """,
        SPARK_PLUGINS="good,rival",
    )

    assert printed == "GoodBackend\n"


SECRETIVE = """
from spark.graphs.checkpoint import InMemoryCheckpointBackend

class Meta(type(InMemoryCheckpointBackend)):
    def __getattribute__(cls, name):
        if name == "__abstractmethods__":
            raise RuntimeError("don't look")
        return super().__getattribute__(name)

class Thing(InMemoryCheckpointBackend, metaclass=Meta):
    pass
"""


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("not_there:Thing", "importing not_there:Thing failed: ModuleNotFoundError: No module named 'not_there'"),
        ("good_backend:Missing", "importing good_backend:Missing failed: AttributeError"),
        ("good_backend:__name__", "good_backend:__name__ is not a class"),
        (
            "good_backend:GoodFormat",
            "good_backend:GoodFormat is not a subclass of spark.graphs.checkpoint.CheckpointBackend",
        ),
        ("spark.graphs.checkpoint:CheckpointBackend", "spark.graphs.checkpoint:CheckpointBackend lacks delete, get, "),
        ("exits:Thing", "importing exits:Thing failed: SystemExit: 5"),
        ("secretive:Thing", "importing secretive:Thing failed: RuntimeError: don't look"),
    ],
)
def test_a_target_that_does_not_fit_names_the_plugin(site: Site, target: str, said: str) -> None:
    source = returns("spark_backends", f"[BackendSpec(name='x', target={target!r})]")
    site.install(
        "fake-bad", source, version="0.9", good_backend=sources.GOOD_BACKEND, exits="exit(5)", secretive=SECRETIVE
    )

    with pytest.raises(PluginBrokenError) as raised:
        backend_class("x")

    assert f"The backend 'x' of the plugin 'bad' of fake-bad 0.9 can't be used: {said}" in str(raised.value)
    assert "Reinstall or upgrade fake-bad." in str(raised.value)
    assert (raised.value.__cause__ is not None) == said.startswith("importing")


@pytest.mark.parametrize(
    ("kind", "target", "said"),
    [
        (
            "spark_formats",
            "good_backend:GoodBackend",
            "is not a subclass of spark.graphs.checkpoint.storage.Format",
        ),
        ("spark_triggers", "good_backend:GoodBackend", "is not a subclass of spark.graphs.checkpoint.Trigger"),
    ],
)
def test_a_target_of_another_kind_names_the_plugin(site: Site, kind: str, target: str, said: str) -> None:
    spec = {"spark_formats": "FormatSpec", "spark_triggers": "TriggerSpec"}[kind]
    look_up = {"spark_formats": format_class, "spark_triggers": trigger_class}[kind]
    site.install("fake-bad", returns(kind, f"[{spec}(name='x', target={target!r})]"), good_backend=sources.GOOD_BACKEND)

    with pytest.raises(
        PluginBrokenError, match=f"'x' of the plugin 'bad' of fake-bad 1.0 can't be used: {target} {said}"
    ):
        look_up("x")


def test_asking_for_a_broken_plugin_gives_its_reason_and_its_error(site: Site) -> None:
    site.install("fake-bad", sources.FAILS_ON_IMPORT, version="0.9")

    with pytest.warns(PluginWarning), pytest.raises(PluginBrokenError) as raised:
        backend_class("bad://x")

    assert "the plugin 'bad' of fake-bad 0.9, which provides it, is broken. Importing" in str(raised.value)
    assert repr(raised.value.__cause__) == "RuntimeError('no engine here')"


def test_asking_for_a_plugin_of_another_version_names_both_versions(site: Site) -> None:
    """Its entry point has another name; what it said before it was refused still tells whose backend it is."""
    site.install("fake-later", sources.FUTURE_VERSION)

    with (
        pytest.warns(PluginWarning),
        pytest.raises(PluginBrokenError, match=r"version 99 .* but .* version 1") as raised,
    ):
        backend_class("future")

    assert "fake-later 1.0" in str(raised.value)


def test_a_class_of_a_plugin_can_be_imported_by_name(good: Site) -> None:
    assert class_to_import("GoodBackend", module="spark.graphs.checkpoint").__module__ == "good_backend"


@pytest.mark.parametrize(
    ("class_name", "extra"),
    [("FileCheckpointBackend", "file"), ("DatabaseCheckpointBackend", "sql"), ("S3CheckpointBackend", "s3")],
)
def test_a_known_class_that_is_not_installed_says_what_to_install(good: Site, class_name: str, extra: str) -> None:
    good.hide_our_plugins()

    with pytest.raises(ImportError) as raised:
        class_to_import(class_name, module="spark.graphs.checkpoint")

    assert class_name in str(raised.value)
    assert str(raised.value).endswith(f"pip install 'spark-graphs[{extra}]'")


def test_a_known_class_whose_plugin_is_broken_is_an_import_error_with_the_cause(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("spark-graphs-backend-file", sources.FAILS_ON_IMPORT, version="9.9", entry="file")
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", "spark-graphs-format-pickle")

    with pytest.warns(PluginWarning), pytest.raises(ImportError) as raised:
        class_to_import("FileCheckpointBackend", module="spark.graphs.checkpoint")

    assert "spark-graphs-backend-file 9.9, which provides it, is broken" in str(raised.value)
    assert raised.value.__cause__ is not None
    assert repr(raised.value.__cause__.__cause__) == "RuntimeError('no engine here')"


def test_a_class_nobody_knows_is_an_attribute_error(good: Site) -> None:
    with pytest.raises(AttributeError, match=r"'spark.graphs.checkpoint' has no attribute 'Nonsense'"):
        class_to_import("Nonsense", module="spark.graphs.checkpoint")


def test_private_names_cost_no_scan(site: Site) -> None:
    site.install("fake-bad", sources.FAILS_ON_IMPORT)  # a scan would warn

    with pytest.raises(AttributeError):
        class_to_import("__path__", module="spark.graphs.checkpoint")


def test_whether_a_plugin_makes_a_claim_can_be_asked_without_an_error(site: Site) -> None:
    site.install("fake-types", returns("spark_types", "[TypesSpec(name='t', target='m:C', modules=('numbers',))]"))

    spec = provider_of(("types of module", "numbers"))

    assert spec is not None
    assert (spec.kind, spec.name) == ("types", "t")
    assert provider_of(("types of module", "fractions")) is None
    assert provider_of(("retention", "keep_last")) is not None
    assert "m" not in sys.modules
