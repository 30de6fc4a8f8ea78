"""Plugins that people might install, and a folder to work in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shop import shop_in
from tests.support.sites import Site


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with no settings anywhere."""
    for variable in ("SPARK_CHECKPOINT_URL", "SPARK_CHECKPOINT_FORMAT"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site with a plugin of each kind in it."""
    with shop_in(tmp_path / "site", monkeypatch) as site:
        yield site
