"""Real distributions, made on the spot: a source file and the ``.dist-info`` that pip would have written."""

import importlib
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from spark.hooks import discovery


@dataclass(frozen=True)
class Site:
    """A folder on ``sys.path`` with distributions in it."""

    folder: Path

    def install(self, distribution: str, plugin: str, *, version: str = "1.0", entry: str = "", **modules: str) -> None:
        """Add a distribution whose plugin module is ``plugin``, and any further modules by name."""
        module = f"{distribution.replace('-', '_')}_plugin"
        for name, source in {module: plugin, **modules}.items():
            (self.folder / f"{name}.py").write_text(textwrap.dedent(source))
        self.add_dist_info(
            distribution, version, f"[spark.graphs]\n{entry or distribution.removeprefix('fake-')} = {module}\n"
        )

    def hide_our_plugins(self) -> None:
        """Make this process find no plugin of this workspace: earlier on the path, each distribution says that it is none."""
        for distribution in (
            "backend-file",
            "backend-s3",
            "backend-sql",
            "format-msgpack",
            "format-pickle",
            "observer-otel",
            "types-arrays",
        ):
            self.add_dist_info(f"spark-graphs-{distribution}", "0", "")

    def add_dist_info(self, distribution: str, version: str, entry_points: str) -> None:
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points)
        (info / "RECORD").write_text("")
        importlib.invalidate_caches()  # an import may have looked within the same tick of the clock


@contextmanager
def site_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty site on this process's path, and nothing found yet; afterwards nothing is left of what was installed."""
    monkeypatch.delenv("SPARK_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(folder)
    known = set(sys.modules)
    discovery.reset()
    yield Site(folder)
    discovery.reset()
    for name in set(sys.modules) - known:
        if folder in Path(getattr(sys.modules[name], "__file__", None) or "").parents:  # also of the packages there
            del sys.modules[name]
