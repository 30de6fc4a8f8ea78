"""What is installed is found, once, and reported."""

import shutil
import sys
import threading
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from spark.errors import PluginWarning
from spark.graphs.checkpoint import backend_class
from spark.hooks import PluginInfo, discovery, plugins
from tests.discovery.sources import GOOD, GOOD_BACKEND, LISTENS
from tests.support.sites import Site


def report(name: str) -> PluginInfo:
    return next(info for info in plugins() if info.name == name)


def test_an_installed_plugin_is_there_in_a_new_process(site: Site, run_fresh: Callable[..., str]) -> None:
    site.install("fake-good", GOOD, version="2.1", good_backend=GOOD_BACKEND)

    printed = run_fresh(
        """
        import sys
        from spark.graphs.checkpoint import open_backend
        from spark.hooks import plugins
        info = next(info for info in plugins() if info.name == "good")
        print(info.distribution, info.version, info.status, info.provides, "good_backend" in sys.modules)
        backend = open_backend("good://place", depth=3)
        print(type(backend).__name__, backend.url, backend.options)
        """,
        SPARK_PLUGINS="fake-good",
    )

    assert printed.splitlines() == [
        "fake-good 2.1 loaded ('backend:good', 'format:goodfmt', 'event:spark_checkpoint_deleted') False",
        "GoodBackend good://place {'depth': 3}",
    ]


def test_the_core_heads_the_report(site: Site) -> None:
    site.install("a-first", GOOD)

    first = plugins()[0]

    assert (first.name, first.distribution, first.status) == ("builtin", "spark-graphs", "loaded")
    assert first.version == metadata.version("spark-graphs")
    assert {"backend:memory", "format:json", "trigger:every_seconds", "retention:keep_last"} <= set(first.provides)
    assert [info.name for info in plugins()].count("builtin") == 1


def test_a_distribution_twice_on_the_path_counts_once(
    site: Site, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editable install beside a real one; the first on the path is the one that an import would find."""
    site.install("fake-good", GOOD, version="2.0")
    other = Site(tmp_path_factory.mktemp("other"))
    other.install("Fake_Good", GOOD, version="1.0", entry="good")
    monkeypatch.setattr(sys, "path", [*sys.path, str(other.folder)])

    found = [info.version for info in plugins() if info.name == "good"]

    assert found == ["2.0"]


def test_a_distribution_hidden_by_a_newer_one_is_not_found(
    site: Site, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be imported is the newer one, and that says it is no plugin any more."""
    site.add_dist_info("fake-good", "2.0", "[console_scripts]\n")
    other = Site(tmp_path_factory.mktemp("other"))
    other.install("fake-good", GOOD, version="1.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(other.folder)])

    assert "good" not in {info.name for info in plugins()}


def test_the_scan_happens_once_whatever_the_number_of_threads(site: Site) -> None:
    site.install(
        "fake-slow",
        f"{LISTENS}\nfrom pathlib import Path\nwith open(Path(__file__).with_suffix('.log'), 'a') as f: f.write('x')",
    )
    results: list[discovery.Found] = []
    threads = [threading.Thread(target=lambda: results.append(discovery.found())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(found) for found in results}) == 1
    assert (site.folder / "fake_slow_plugin.log").read_text() == "x"


def test_a_malformed_distribution_of_somebody_else_does_no_harm(site: Site) -> None:
    """``entry_points()`` of the library fails on the first bad file of any project."""
    site.install("fake-good", GOOD)
    site.add_dist_info("aaa-malformed", "1.0", "[console_scripts]\nthis is no entry point\n")
    (site.folder / "aab_binary-1.0.dist-info").mkdir()
    (site.folder / "aab_binary-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe[console_scripts]")

    assert report("good").status == "loaded"


def test_a_distribution_without_metadata_is_reported_as_unknown(site: Site) -> None:
    site.install("fake-good", GOOD)
    (site.folder / "fake_good-1.0.dist-info" / "METADATA").unlink()

    assert (report("good").distribution, report("good").version) == ("unknown", "unknown")


def test_a_plugin_in_an_archive_on_the_path_is_found(
    site: Site, tmp_path_factory: pytest.TempPathFactory, run_fresh: Callable[..., str]
) -> None:
    """A zip file, as zipapps and eggs are."""
    other = Site(tmp_path_factory.mktemp("packed"))
    other.install("fake-good", GOOD, good_backend=GOOD_BACKEND)
    archive = shutil.make_archive(str(site.folder / "packed"), "zip", other.folder)

    printed = run_fresh(
        f"""
        import sys
        sys.path.append({archive!r})
        from spark.graphs.checkpoint import backend_class
        from spark.hooks import plugins
        print([(info.distribution, info.version, info.status) for info in plugins() if info.name == "good"])
        print(sys.modules[backend_class("good://x").__module__].__file__)
        """,
        SPARK_PLUGINS="fake-good",
    )

    assert printed.splitlines() == ["[('fake-good', '1.0', 'loaded')]", f"{archive}/good_backend.py"]


def test_a_plugin_installed_in_the_old_way_is_found(site: Site) -> None:
    """An ``.egg-info`` folder, as ``setup.py develop`` leaves one."""
    site.install("fake-good", GOOD)
    info = (site.folder / "fake_good-1.0.dist-info").rename(site.folder / "fake_good.egg-info")
    (info / "METADATA").rename(info / "PKG-INFO")

    assert (report("good").status, report("good").version) == ("loaded", "1.0")


def test_what_is_no_folder_on_the_path_does_no_harm(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("fake-good", GOOD)
    (site.folder / "text.txt").write_text("no archive")
    odd = ["", str(site.folder / "nowhere"), str(site.folder / "text.txt"), str(site.folder / "no.zip")]
    monkeypatch.setattr(sys, "path", [*odd, *sys.path])

    assert report("good").status == "loaded"


def test_a_plugin_among_many_distributions_is_found(site: Site) -> None:
    """Half of them with entry points of other groups, one of which is named almost like ours."""
    for number in range(300):
        site.add_dist_info(
            f"other-{number}", "1.0", "[console_scripts]\nx = x\n\n[spark.graph]\nx = x\n" * (number % 2)
        )
    site.install("fake-good", GOOD)

    named = {info.name for info in plugins() if not info.distribution.startswith("spark-graphs")}

    assert named == {"good"}


def test_a_plugin_that_looks_plugins_up_while_loading_is_told_so(site: Site) -> None:
    """It would otherwise scan within the scan, without end."""
    site.install("fake-curious", "from spark.hooks import plugins\nplugins()")

    with pytest.warns(PluginWarning, match="asked for plugins while it was being loaded"):
        plugins()

    assert report("curious").status == "broken"


def test_two_entry_points_for_one_module_are_one_too_many(site: Site) -> None:
    site.install("fake-good", GOOD, good_backend=GOOD_BACKEND)
    site.add_dist_info("fake-twin", "1.0", "[spark.graphs]\ntwin = fake_good_plugin\n")

    with pytest.warns(PluginWarning, match=r"'twin' of fake-twin 1.0 .* same object as plugin 'good' of fake-good 1.0"):
        plugins()

    assert (report("good").status, report("twin").status) == ("loaded", "broken")
    assert backend_class("good").__name__ == "GoodBackend"


def test_loading_is_timed(site: Site) -> None:
    site.install("fake-good", GOOD)

    assert 0 < report("good").load_seconds < 60


def test_a_good_site_gives_no_warning(site: Site) -> None:
    site.install("fake-good", GOOD, good_backend=GOOD_BACKEND)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backend = backend_class("good")

    assert Path(sys.modules[backend.__module__].__file__ or "").parent == site.folder
