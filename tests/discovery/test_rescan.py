"""What is installed while a program runs is found when it asks again; what was loaded stays as it is."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from pathlib import Path

import pytest

from spark.errors import PluginNotFoundError, PluginWarning
from spark.graphs.checkpoint import backend_class
from spark.hooks import discovery, events, plugins, rescan
from tests.discovery import sources
from tests.discovery.sources import LISTENS, claims
from tests.support.sites import Site


def names() -> list[str]:
    return [info.name for info in plugins() if not info.distribution.startswith("spark-graphs")]


def test_what_was_installed_meanwhile_is_found(site: Site) -> None:
    site.install("fake-first", claims("first"))
    with pytest.raises(PluginNotFoundError):
        backend_class("good")

    site.install("fake-good", sources.GOOD, good_backend=sources.GOOD_BACKEND)
    fresh = rescan()

    assert [info.label for info in fresh if info.status != "blocked"] == ["plugin 'good' of fake-good 1.0"]
    assert backend_class("good").__name__ == "GoodBackend"
    assert names() == ["first", "good"]


def test_the_first_time_it_is_the_scan(site: Site) -> None:
    site.install("fake-good", sources.GOOD)

    assert "good" in [info.name for info in rescan()]
    assert discovery.has_found()


def test_what_was_installed_within_the_grain_of_the_clock_is_found(site: Site, tmp_path: Path) -> None:
    """importlib and importlib-metadata look at a folder again only if its time stamp is another one."""
    elsewhere = Site(tmp_path / "elsewhere")
    elsewhere.folder.mkdir()
    elsewhere.install("fake-good", LISTENS)
    site.install("fake-first", claims("first"))
    plugins()
    before = os.stat(site.folder).st_mtime_ns

    for each in elsewhere.folder.iterdir():
        each.rename(site.folder / each.name)
    os.utime(site.folder, ns=(before, before))
    rescan()

    assert names() == ["first", "good"]


def test_what_was_loaded_is_neither_loaded_again_nor_lost(site: Site) -> None:
    """Python can't unload a module: one that was upgraded is the old one until the program is started again."""
    site.install("fake-kept", LISTENS)
    before = {info.name: info for info in plugins()}

    (site.folder / "fake_kept-1.0.dist-info").rename(site.folder / "fake_kept-2.0.dist-info")
    (site.folder / "fake_kept-2.0.dist-info" / "METADATA").write_text("Name: fake-kept\nVersion: 2.0\n")
    assert [info for info in rescan() if info.status != "blocked"] == []
    (site.folder / "fake_kept-2.0.dist-info" / "entry_points.txt").write_text("")
    rescan()

    assert {info.name: info for info in plugins()}["kept"] is before["kept"]
    assert len(events.listeners("spark_checkpoint_deleted")) == 1


async def test_listeners_keep_what_is_known_of_them(site: Site) -> None:
    """One that hangs is not called again because somebody scanned."""
    site.install("fake-slow", f"{LISTENS}\nimport threading\nend, calls = threading.Event(), []\n" + HANGS)
    slow = importlib.import_module("fake_slow_plugin")
    await events.fire("spark_checkpoint_failed", longest=0.01, graph_id="g", error=OSError())

    site.install("fake-new", LISTENS)
    rescan()
    await events.fire("spark_checkpoint_failed", longest=0.01, graph_id="g", error=OSError())

    slow.end.set()
    assert len(slow.calls) == 1
    (listener,) = events.listeners("spark_checkpoint_failed")
    assert listener.late is not None
    await asyncio.wait([listener.late])


HANGS = """
@hookimpl
def spark_checkpoint_failed():
    calls.append(1)
    end.wait()
"""


def test_what_was_broken_or_blocked_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("fake-broken", sources.FAILS_ON_IMPORT)
    site.install("fake-blocked", LISTENS)
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", "fake-blocked,file,pickle")
    with pytest.warns(PluginWarning):
        plugins()

    (site.folder / "fake_broken_plugin.py").write_text(LISTENS.replace("deleted", "restored"))
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", "file,pickle")
    rescan()

    assert {info.name: info.status for info in plugins() if info.name in ("broken", "blocked")} == {
        "broken": "loaded",
        "blocked": "loaded",
    }


def test_what_is_new_and_broken_is_warned_of(site: Site) -> None:
    plugins()
    site.install("fake-broken", sources.FAILS_ON_IMPORT)

    with pytest.warns(PluginWarning, match="'broken' of fake-broken 1.0 is skipped"):
        rescan()


def test_threads_that_scan_and_ask_at_the_same_time_agree(site: Site) -> None:
    site.install(
        "fake-first",
        f"{LISTENS}\nfrom pathlib import Path\nwith open(Path(__file__).with_suffix('.log'), 'a') as f: f.write('x')",
    )
    site.install("fake-good", sources.GOOD, good_backend=sources.GOOD_BACKEND)
    wrong: list[object] = []

    def ask() -> None:
        for _ in range(5):
            rescan()
            if backend_class("good").__name__ != "GoodBackend" or names() != ["first", "good"]:
                wrong.append(names())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert (site.folder / "fake_first_plugin.log").read_text() == "x"
