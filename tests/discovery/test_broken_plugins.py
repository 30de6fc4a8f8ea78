"""What is wrong with a plugin is named, with the reason and the cure, and skipped; the rest of it and the others work."""

import textwrap
import warnings
from collections.abc import Callable

import pytest

from spark.errors import PluginBrokenError, PluginWarning
from spark.graphs.checkpoint import backend_class
from spark.hooks import discovery, events, plugins, specs
from tests.discovery import sources
from tests.discovery.conftest import WORKSPACE_PLUGINS
from tests.support.sites import Site

IMPORTS = {
    "fails on import": (
        sources.FAILS_ON_IMPORT,
        ["Importing fake_bad_plugin failed: RuntimeError: no engine here", "SPARK_DISABLE_PLUGINS=fake-bad"],
    ),
    "exits on import": ("raise SystemExit(3)", ["Importing fake_bad_plugin failed: SystemExit: 3"]),
    "skips itself on import": (
        "import asyncio\nraise asyncio.CancelledError('not here')",
        ["Importing fake_bad_plugin failed: CancelledError: not here"],
    ),
    "lacks what it needs": ("import not_installed", ["No module named 'not_installed'. Reinstall or upgrade fake-bad"]),
    "has no hooks": ("x = 1", ["fake_bad_plugin has no hooks. Mark each function that implements one with @hookimpl"]),
}


@pytest.mark.parametrize(("source", "said"), IMPORTS.values(), ids=IMPORTS)
def test_a_plugin_that_can_not_be_loaded_is_named_and_skipped(site: Site, source: str, said: list[str]) -> None:
    site.install("fake-bad", source, version="0.3")
    site.install("fake-good", sources.GOOD)

    with pytest.warns(PluginWarning) as caught:
        status = {info.name: info for info in plugins()}

    (message,) = (str(each.message) for each in caught)
    assert message == f"The plugin 'bad' of fake-bad 0.3 is skipped. {status['bad'].reason}"
    assert [part for part in said if part not in message] == []
    assert (status["bad"].status, status["bad"].provides) == ("broken", ())
    assert status["good"].status == "loaded"


HEADER = """
from spark.hooks import *
from spark.hooks import hookimpl

@hookimpl
def spark_retentions():
    return [RetentionSpec(name="fine", target="nowhere:Nothing")]

@hookimpl
def spark_checkpoint_deleted():
    pass

"""
"""The part of a plugin with which nothing is wrong."""


def hook(name: str, value: str, mark: str = "@hookimpl\ndef") -> str:
    return f"{mark} {name}():\n    return {value}\n"


WRONG = {
    "hook exits": (hook("spark_backends", "exit(4)"), "hook 'spark_backends'", ["It raised SystemExit: 4"]),
    "hook raises": (hook("spark_backends", "1 / 0"), "hook 'spark_backends'", ["It raised ZeroDivisionError"]),
    "misspelt hook": (
        hook("spark_backend", "[]"),
        "hook 'spark_backend'",
        ["no hook spark_backend.", "Did you mean 'spark_backends'?"],
    ),
    "misspelt argument": (
        "@hookimpl\ndef spark_checkpoint_created(chekpoint, info): ...",
        "hook 'spark_checkpoint_created'",
        ["It takes chekpoint", "spark_checkpoint_created(checkpoint, info)"],
    ),
    "catch-all arguments": (
        "@hookimpl\ndef spark_checkpoint_created(**everything): ...",
        "hook 'spark_checkpoint_created'",
        ["It takes **everything, which nothing would pass"],
    ),
    "unmarked hook": (hook("spark_backends", "[]", "def"), "hook 'spark_backends'", ["It is not marked", "@hookimpl"]),
    "unmarked and misspelt": (
        "def spark_checkpoint_create(): ...",
        "hook 'spark_checkpoint_create'",
        ["Did you mean 'spark_checkpoint_created'?"],
    ),
    "wrapper": (
        "@hookimpl(wrapper=True)\ndef spark_backends():\n    return (yield)",
        "hook 'spark_backends'",
        ["It is a hook wrapper, which is not supported"],
    ),
    "async specs": (
        hook("spark_backends", "[]", "@hookimpl\nasync def"),
        "hook 'spark_backends'",
        ["It is async", "plain def"],
    ),
    "returns nothing": (
        hook("spark_backends", "None"),
        "hook 'spark_backends'",
        ["It returned NoneType. Return a list of BackendSpec"],
    ),
    "returns other things": (
        hook("spark_backends", "[FormatSpec(name='x', target='m:C')]"),
        "hook 'spark_backends'",
        ["It returned a list with FormatSpec. Return a list of BackendSpec"],
    ),
    "future version": (
        hook("spark_backends", "[BackendSpec(name='x', target='m:C', api_version=99, regions=3)]"),
        "backend 'x'",
        ["written for version 99 of the plugin API, but this spark-graphs supports version 1. Upgrade spark-graphs."],
    ),
    "past versions": (
        hook("spark_triggers", "[TriggerSpec(name='x', target='m:C', api_version=(-1, 0))]"),
        "trigger 'x'",
        ["written for versions -1 to 0 of the plugin API", "Upgrade the plugin."],
    ),
    "a field that is wrong": (
        hook("spark_backends", "[BackendSpec(name='x', target='m:C', schemes='file')]"),
        "backend 'x'",
        ["Its schemes is a string: write ('file',)."],
    ),
    "a field that does not exist": (
        hook("spark_backends", "[BackendSpec(name='x', target='m:C', scheme=('file',))]"),
        "backend 'x'",
        ["BackendSpec has no field 'scheme'. Did you mean 'schemes'?"],
    ),
    "fields without names": (
        hook("spark_backends", "[BackendSpec('x', 'm:C')]"),
        "backend ''",
        ["BackendSpec takes its fields by name: BackendSpec(name=…, target=…)."],
    ),
    "a field that can't be compared": (
        hook("spark_backends", "[BackendSpec(name=['x'], target='m:C')]"),
        "backend \"['x']\"",
        ["Its name ['x'] can't be used: write lower case letters"],
    ),
    "one name twice": (
        hook("spark_backends", "[BackendSpec(name='x', target='m:' + each) for each in 'C']")
        + hook("spark_formats", "[FormatSpec(name='twice', target='m:' + each) for each in 'CD']"),
        "format 'twice'",
        ["It claims the format 'twice', which another of its specs has."],
    ),
    "the core's name": (
        hook("spark_formats", "[FormatSpec(name='json', target='m:C')]"),
        "format 'json'",
        ["It claims the format 'json', which spark-graphs itself has. Give it a name of its own."],
    ),
    "the core's scheme": (
        hook("spark_backends", "[BackendSpec(name='x', target='m:C', schemes=('memory',))]"),
        "backend 'x'",
        ["It claims the URL scheme 'memory', which spark-graphs itself has"],
    ),
}


@pytest.mark.parametrize(("source", "what", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_and_skipped_and_the_rest_of_its_plugin_works(
    site: Site, source: str, what: str, said: list[str]
) -> None:
    site.install("fake-bad", HEADER + source, version="0.3")

    with pytest.warns(PluginWarning) as caught:
        info = next(info for info in plugins() if info.name == "bad")

    (skipped,) = (each for each in info.provided if each.reason)
    (message,) = (str(each.message) for each in caught)
    assert message == f"The {what} of the plugin 'bad' of fake-bad 0.3 is skipped. {skipped.reason}"
    assert [part for part in said if part not in message] == []
    assert (info.status, info.reason) == ("partial", f"The {what} is skipped. {skipped.reason}")
    assert {"retention:fine", "event:spark_checkpoint_deleted"} <= set(info.provides)
    assert len(events.listeners("spark_checkpoint_deleted")) == 1


def test_a_plugin_of_which_nothing_works_is_broken(site: Site) -> None:
    site.install("fake-bad", sources.FUTURE_VERSION)

    with pytest.warns(PluginWarning, match="The backend 'future' of the plugin 'bad' of fake-bad 1.0 is skipped."):
        info = next(info for info in plugins() if info.name == "bad")

    assert (info.status, info.provides, info.claims) == ("broken", (), frozenset())


def test_a_right_spec_beside_a_wrong_one_works(site: Site) -> None:
    """Even though the constructor of the wrong one would be the first to raise."""
    wrong = "BackendSpec(nam='x'), BackendSpec(), BackendSpec(name='y', target='m:C', api_version=(2, 3))"
    right = "BackendSpec(name='good', target='good_backend:GoodBackend')"
    source = sources.returns("spark_backends", f"[{wrong}, {right}, 3]")
    site.install("fake-bad", source, good_backend=sources.GOOD_BACKEND)

    with pytest.warns(PluginWarning) as caught:
        backend = backend_class("good")

    assert backend.__name__ == "GoodBackend"
    assert len(caught) == 4


@pytest.mark.parametrize(
    ("speaks", "written_for", "fits"),
    [
        ((1, 1), 1, True),
        ((2, 3), 2, True),
        ((2, 3), 3, True),
        ((2, 3), (1, 2), True),
        ((2, 3), (3, 9), True),
        ((2, 3), (1, 9), True),
        ((2, 3), 1, False),
        ((2, 3), (4, 5), False),
    ],
)
def test_a_spec_fits_if_its_versions_and_those_of_the_core_overlap(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    speaks: tuple[int, int],
    written_for: int | tuple[int, int],
    fits: bool,
) -> None:
    discovery.core()  # neither its specs nor those of the workspace are what is tried here
    monkeypatch.setenv("SPARK_PLUGINS", "fake-x")
    monkeypatch.setattr(specs, "OLDEST_API_VERSION", speaks[0])
    monkeypatch.setattr(specs, "API_VERSION", speaks[1])
    spec = f"[BackendSpec(name='x', target='m:C', api_version={written_for})]"
    site.install("fake-x", sources.returns("spark_backends", spec))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        provides = next(info.provides for info in plugins() if info.name == "x")

    assert provides == (("backend:x",) if fits else ())
    assert [
        f"but this spark-graphs supports versions {speaks[0]} to {speaks[1]}." in str(each.message) for each in caught
    ] == ([] if fits else [True])


@pytest.mark.parametrize("look_up", ["x", "x+driver://host", "scheme://host"])
def test_asking_for_what_is_skipped_says_why(site: Site, look_up: str) -> None:
    spec = "[BackendSpec(name='x', target='m:C', schemes=('x', 'scheme'), api_version=2)]"
    site.install("fake-later", sources.returns("spark_backends", spec))

    with pytest.warns(PluginWarning), pytest.raises(PluginBrokenError) as raised:
        backend_class(look_up)

    assert "can't be used: the backend 'x' of the plugin 'later' of fake-later 1.0 is skipped. It is" in str(
        raised.value
    )
    assert "Upgrade spark-graphs." in str(raised.value)


def test_asking_for_what_a_failing_hook_would_provide_gives_its_error(site: Site) -> None:
    site.install("fake-bad", HEADER + hook("spark_backends", "1 / 0"))

    with (
        pytest.warns(PluginWarning),
        pytest.raises(PluginBrokenError, match=r"'bad'.*is partial.*It raised Zero") as raised,
    ):
        backend_class("bad")

    assert isinstance(raised.value.__cause__, ZeroDivisionError)


ENTRY_POINTS = {
    "a package": ("fake_package", "It names the package fake_package, which has no hooks.", "fake_package.plugin"),
    "a package with an unusual name": ("fake_odd", "names the package fake_odd", "fake_odd.plugins"),
    "a class": (
        "good_backend:GoodBackend",
        "It names the class GoodBackend. Name a module with hooks instead, whose spark_backends() returns "
        '[BackendSpec(name="…", target="good_backend:GoodBackend")].',
        "good_backend.plugin",
    ),
    "a class of another kind": ("fake_package.plugin:Other", "It names the class Other. Name", "fake_package.plugin"),
    "a function": ("fake_package.plugin:spark_formats", "the function spark_formats. Name its", "fake_package.plugin"),
    "no module": ("fake_package.plugn", "There is no module fake_package.plugn.", "fake_package.plugin"),
    "no package": ("fake_nowhere.hooks", "There is no module fake_nowhere.", "fake_nowhere.plugin"),
    "no attribute": ("fake_package.plugin:nothing", "fake_package.plugin has no nothing.", "fake_package.plugin"),
}


@pytest.mark.parametrize(("value", "said", "instead"), ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_an_entry_point_that_names_something_else_says_what_to_write(
    site: Site, value: str, said: str, instead: str
) -> None:
    plugin = textwrap.dedent(sources.GOOD) + "\nclass Other: ...\n"
    for module, source in {"fake_package/plugin": plugin, "fake_odd/plugins": plugin}.items():
        (site.folder / f"{module}.py").parent.mkdir()
        (site.folder / f"{module}.py").write_text(source)
        (site.folder / f"{module}.py").with_name("__init__.py").write_text("")
    (site.folder / "good_backend.py").write_text(textwrap.dedent(sources.GOOD_BACKEND))
    site.add_dist_info("fake-bad", "0.3", f"[spark.graphs]\nbad = {value}\n")

    with pytest.warns(PluginWarning) as caught:
        plugins()

    (message,) = (str(each.message) for each in caught)
    assert said in message
    assert message.endswith(f'In pyproject.toml: [project.entry-points."spark.graphs"] bad = "{instead}"')


def test_all_of_them_at_once_in_a_new_process(site: Site, run_fresh: Callable[..., str]) -> None:
    site.install("fake-import", sources.FAILS_ON_IMPORT)
    site.install("fake-hook", sources.MISSPELT_HOOK)
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
    assert printed.count("PluginWarning") == 3
    for name in ("import", "hook", "future"):
        assert printed.count(f"plugin '{name}' of fake-{name} 1.0 is skipped.") == 1


def test_a_warning_turned_into_an_error_hits_once(site: Site) -> None:
    """With ``-W error`` the first use fails; the scan is not left half done, nor repeated."""
    site.install("fake-bad", sources.FAILS_ON_IMPORT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginWarning):
            plugins()

        assert "broken" in {info.status for info in plugins()}


def test_a_helper_that_only_looks_like_a_hook_may_be_imported(site: Site) -> None:
    site.install("fake-good", f"{HEADER}\nfrom helpers import spark_helper\n", helpers="def spark_helper(): ...")

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
