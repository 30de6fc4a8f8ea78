"""A plugin that is wrong is named, with the reason and the cure, and skipped; the others go on."""

import warnings
from collections.abc import Callable

import pytest

from spark.errors import PluginWarning
from spark.graphs.checkpoint import backend_class
from spark.hooks import plugins
from tests.discovery import sources
from tests.discovery.conftest import WORKSPACE_PLUGINS
from tests.discovery.sources import returns
from tests.support.sites import Site

BROKEN = {
    "fails on import": (
        sources.FAILS_ON_IMPORT,
        ["Importing fake_bad_plugin failed: RuntimeError: no engine here", "SPARK_DISABLE_PLUGINS=fake-bad"],
    ),
    "exits on import": ("raise SystemExit(3)", ["Importing fake_bad_plugin failed: SystemExit: 3"]),
    "skips itself on import": (
        "import asyncio\nraise asyncio.CancelledError('not here')",
        ["Importing fake_bad_plugin failed: CancelledError: not here"],
    ),
    "hook exits": (returns("spark_backends", "exit(4)"), ["spark_backends() raised SystemExit: 4"]),
    "misspelt hook": (sources.MISSPELT_HOOK, ["no hook spark_backend.", "Did you mean 'spark_backends'?"]),
    "misspelt argument": (
        sources.MISSPELT_ARGUMENT,
        ["spark_checkpoint_created takes chekpoint", "spark_checkpoint_created(checkpoint, info)"],
    ),
    "catch-all arguments": (
        """
        from spark.hooks import hookimpl

        @hookimpl
        def spark_checkpoint_deleted(**everything): ...
        """,
        ["takes **everything, which nothing would pass"],
    ),
    "unmarked hook": (sources.UNMARKED_HOOK, ["spark_backends is not marked", "@hookimpl"]),
    "unmarked and misspelt": ("def spark_checkpoint_create(): ...", ["Did you mean 'spark_checkpoint_created'?"]),
    "wrapper": (
        """
        from spark.hooks import hookimpl

        @hookimpl(wrapper=True)
        def spark_backends():
            return (yield)
        """,
        ["is a hook wrapper, which is not supported"],
    ),
    "async specs": (
        """
        from spark.hooks import hookimpl

        @hookimpl
        async def spark_backends():
            return []
        """,
        ["spark_backends is async", "plain def"],
    ),
    "future version": (sources.FUTURE_VERSION, ["plugin API version 99", "uses version 1", "Upgrade spark-graphs"]),
    "past version": (
        returns("spark_triggers", "[TriggerSpec(name='t', target='m:C', api_version=0)]"),
        ["plugin API version 0", "uses version 1", "Upgrade the plugin"],
    ),
    "hook raises": (returns("spark_backends", "1 / 0"), ["spark_backends() raised ZeroDivisionError"]),
    "returns nothing": (returns("spark_backends", "None"), ["returned NoneType", "Return a list of BackendSpec"]),
    "returns other things": (
        returns("spark_backends", "[FormatSpec(name='x', target='m:C')]"),
        ["returned a list with FormatSpec", "Return a list of BackendSpec"],
    ),
    "a spec that can't be": (
        returns("spark_backends", "[BackendSpec(name='x', target='m:C', schemes='file')]"),
        ["schemes of BackendSpec 'x' is a string; write ('file',)"],
    ),
    "one name twice": (
        returns("spark_backends", "[BackendSpec(name='x', target='m:C'), BackendSpec(name='x', target='m:D')]"),
        ["provides the backend 'x' twice"],
    ),
    "the core's name": (returns("spark_formats", "[FormatSpec(name='json', target='m:C')]"), ["'json'"]),
    "the core's scheme": (sources.claims("mine", "memory"), ["the URL scheme 'memory', which spark-graphs itself"]),
}


@pytest.mark.parametrize(("source", "said"), BROKEN.values(), ids=BROKEN)
def test_it_is_named_and_skipped(site: Site, source: str, said: list[str]) -> None:
    site.install("fake-bad", source, version="0.3")
    site.install("fake-good", sources.GOOD)

    with pytest.warns(PluginWarning) as caught:
        status = {info.name: info for info in plugins()}

    (message,) = (str(each.message) for each in caught)
    assert message == f"The plugin 'bad' of fake-bad 0.3 is skipped. {status['bad'].reason}"
    assert [part for part in said if part not in message] == []
    assert (status["bad"].status, status["bad"].provides) == ("broken", ())
    assert status["good"].status == "loaded"


def test_all_of_them_at_once_in_a_new_process(site: Site, run_fresh: Callable[..., str]) -> None:
    site.install("fake-import", sources.FAILS_ON_IMPORT)
    site.install("fake-hook", sources.MISSPELT_HOOK)
    site.install("fake-argument", sources.MISSPELT_ARGUMENT)
    site.install("fake-unmarked", sources.UNMARKED_HOOK)
    site.install("fake-future", sources.FUTURE_VERSION)
    site.install("fake-good", sources.GOOD, good_backend=sources.GOOD_BACKEND)

    printed = run_fresh(
        """
        from spark.graphs.checkpoint import backend_class
        from spark.hooks import plugins
        print(backend_class("good").__name__)
        plugins(), plugins()
        """,
        SPARK_DISABLE_PLUGINS="spark-graphs-backend-file,spark-graphs-format-pickle",
    )

    assert "GoodBackend" in printed.splitlines()
    assert printed.count("PluginWarning") == 5
    for name in ("import", "hook", "argument", "unmarked", "future"):
        assert printed.count(f"The plugin '{name}' of fake-{name} 1.0 is skipped.") == 1


def test_a_warning_turned_into_an_error_hits_once(site: Site) -> None:
    """With ``-W error`` the first use fails; the scan is not left half done, nor repeated."""
    site.install("fake-bad", sources.FAILS_ON_IMPORT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginWarning):
            plugins()

        assert "broken" in {info.status for info in plugins()}


def test_a_helper_that_only_looks_like_a_hook_may_be_imported(site: Site) -> None:
    site.install("fake-good", "from good_backend import spark_helper\n", good_backend="def spark_helper(): ...")

    assert {info.name: info.status for info in plugins()}["good"] == "loaded"


def test_an_optional_hook_of_a_later_release_is_accepted(site: Site) -> None:
    """So that one plugin can serve this release and the next."""
    site.install(
        "fake-good",
        """
        from spark.hooks import hookimpl

        @hookimpl(optionalhook=True)
        def spark_from_the_future(anything): ...
        """,
    )

    assert {info.name: info.status for info in plugins()}["good"] == "loaded"


@pytest.mark.parametrize(
    "text",
    [b"[spark.graphs]\nbad\n", b"[spark.graphs]\nbad = m\n[spark.graphs\n", b"[spark.graphs]\nb\xff = m\n"],
    ids=repr,
)
def test_a_malformed_list_of_plugins_is_named_and_harms_nobody_else(site: Site, text: bytes) -> None:
    site.add_dist_info("fake-bad", "0.3", "")
    (site.folder / "fake_bad-0.3.dist-info" / "entry_points.txt").write_bytes(text)
    site.install("fake-good", sources.GOOD, good_backend=sources.GOOD_BACKEND)

    with pytest.warns(PluginWarning, match=r"'fake-bad' of fake-bad 0.3 is skipped. Its entry_points.txt is malformed"):
        backend = backend_class("good")

    assert backend.__name__ == "GoodBackend"
    assert [info.status for info in plugins() if info.distribution == "fake-bad"] == ["broken"]


def test_a_malformed_list_of_a_blocked_plugin_is_not_spoken_of(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add_dist_info("fake-bad", "0.3", "[spark.graphs]\nbad\n")
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", f"fake-bad,{WORKSPACE_PLUGINS}")

    assert {info.name: info.status for info in plugins()}["fake-bad"] == "blocked"
