"""Promise: nothing is scanned, and nothing heavy imported, before somebody needs a plugin."""

from collections.abc import Callable

from tests.discovery.sources import FAILS_ON_IMPORT
from tests.support.sites import Site


def test_importing_the_room_scans_nothing_and_loads_no_pluggy(site: Site, run_fresh: Callable[..., str]) -> None:
    site.install("fake-noisy", "print('imported')")

    printed = run_fresh("""
        import sys
        import spark.hooks, spark.hooks.registry, spark.hooks.events
        print([name for name in ("pluggy", "importlib.metadata", "spark.graphs") if name in sys.modules])
    """)

    assert printed == "[]\n"


def test_what_the_core_brings_is_found_without_a_scan(site: Site, run_fresh: Callable[..., str]) -> None:
    site.install("fake-broken", FAILS_ON_IMPORT)

    printed = run_fresh("""
        from spark.hooks import discovery
        print({'memory', 'json'} <= {spec.name for spec in discovery.core().plugins[0].info.specs}, discovery.has_found())
    """)

    assert printed == "True False\n"


def test_every_exported_name_can_be_imported() -> None:
    import spark.hooks

    assert [name for name in spark.hooks.__all__ if not hasattr(spark.hooks, name)] == []
    assert {name for names in spark.hooks._HOMES.values() for name in names} <= set(spark.hooks.__all__)


def test_an_unknown_export_is_an_attribute_error() -> None:
    import spark.hooks

    assert not hasattr(spark.hooks, "nothing")
