"""``SPARK_PLUGINS`` and ``SPARK_DISABLE_PLUGINS`` act before anything is imported."""

from collections.abc import Callable

import pytest

from spark.errors import PluginBrokenError, PluginWarning
from spark.graphs.checkpoint import backend_class
from spark.hooks import plugins
from tests.discovery.conftest import WORKSPACE_PLUGINS
from tests.discovery.sources import GOOD, GOOD_BACKEND
from tests.support.sites import Site

NOISY = "print('imported')"


def statuses() -> dict[str, str]:
    return {info.name: info.status for info in plugins() if not info.distribution.startswith("spark-graphs-")}


@pytest.mark.parametrize(
    "settings",
    [
        {"SPARK_DISABLE_PLUGINS": "fake-noisy"},
        {"SPARK_DISABLE_PLUGINS": "sql, Fake_Noisy"},
        {"SPARK_DISABLE_PLUGINS": "noisy"},
        {"SPARK_PLUGINS": ""},
        {"SPARK_PLUGINS": "sql"},
        {"SPARK_PLUGINS": "noisy", "SPARK_DISABLE_PLUGINS": "fake-noisy"},
    ],
    ids=str,
)
def test_a_blocked_plugin_is_not_imported(site: Site, run_fresh: Callable[..., str], settings: dict[str, str]) -> None:
    site.install("fake-noisy", NOISY)
    blocked = f"{settings.get('SPARK_DISABLE_PLUGINS', '')},{WORKSPACE_PLUGINS}"

    printed = run_fresh(
        "from spark.hooks import plugins; print({i.name: i.status for i in plugins()}['noisy'])",
        **{**settings, "SPARK_DISABLE_PLUGINS": blocked},
    )

    assert printed == "blocked\n"


def test_an_empty_allow_list_leaves_the_core_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("fake-good", GOOD)
    monkeypatch.setenv("SPARK_PLUGINS", "")

    assert statuses() == {"builtin": "loaded", "good": "blocked"}


def test_the_core_can_not_be_blocked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", f"builtin,spark-graphs,{WORKSPACE_PLUGINS}")

    assert statuses() == {"builtin": "loaded"}


def test_a_plugin_that_calls_itself_builtin_is_not_the_core(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("fake-good", GOOD, entry="builtin")
    monkeypatch.setenv("SPARK_PLUGINS", "")

    assert [(info.distribution, info.status) for info in plugins() if info.name == "builtin"] == [
        ("spark-graphs", "loaded"),
        ("fake-good", "blocked"),
    ]


@pytest.mark.parametrize("allowed", ["good", "fake-good", " FAKE.Good , sql"])
def test_an_allow_list_admits_by_entry_point_or_distribution(
    site: Site, monkeypatch: pytest.MonkeyPatch, allowed: str
) -> None:
    site.install("fake-good", GOOD)
    site.install("fake-noisy", NOISY)
    monkeypatch.setenv("SPARK_PLUGINS", allowed)

    assert statuses() == {"builtin": "loaded", "good": "loaded", "noisy": "blocked"}


@pytest.mark.parametrize(
    ("setting", "value", "cure"),
    [
        ("SPARK_PLUGINS", "sql", "SPARK_PLUGINS='sql' does not list it. To use it, add 'fake-good' to that list."),
        (
            "SPARK_DISABLE_PLUGINS",
            f"fake-good,{WORKSPACE_PLUGINS}",
            "SPARK_DISABLE_PLUGINS lists 'fake-good'. To use it, remove it from that list.",
        ),
    ],
)
def test_asking_for_a_blocked_plugin_says_which_setting_blocks_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, cure: str
) -> None:
    site.install("fake-good", GOOD, good_backend=GOOD_BACKEND)
    monkeypatch.setenv(setting, value)

    with pytest.raises(PluginBrokenError) as raised:
        backend_class("good")

    assert str(raised.value) == (
        "The backend 'good' can't be used: the plugin 'good' of fake-good 1.0, which provides it, is blocked. " + cure
    )


@pytest.mark.parametrize("setting", ["SPARK_PLUGINS", "SPARK_DISABLE_PLUGINS"])
@pytest.mark.parametrize(
    ("listed", "cure"),
    [
        ("fake-god", "Did you mean 'fake-good'?"),
        ("spark-graphs-backend-fil", "Did you mean 'spark-graphs-backend-file'?"),
    ],
)
def test_a_misspelt_name_in_a_list_is_told_with_the_nearest_right_one(
    site: Site, monkeypatch: pytest.MonkeyPatch, setting: str, listed: str, cure: str
) -> None:
    """Else somebody believes that a plugin is blocked."""
    site.install("fake-good", GOOD)
    monkeypatch.setenv(setting, f"{WORKSPACE_PLUGINS},{listed}")

    with pytest.warns(PluginWarning) as caught:
        plugins()

    assert [str(each.message) for each in caught] == [
        f"{setting} lists {listed!r}, but no installed plugin has this name. {cure}"
    ]


def test_a_distribution_of_ours_may_be_blocked_where_it_is_not_installed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.hide_our_plugins()
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", "spark-graphs-format-pickle")
    site.install("fake-good", GOOD)

    assert statuses() == {"builtin": "loaded", "good": "loaded"}
