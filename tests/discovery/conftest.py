"""A folder to install fake distributions into, seen by this process or by a fresh one."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.sites import Site, site_in

WORKSPACE_PLUGINS = "spark-graphs-backend-file,spark-graphs-format-pickle"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty site on this process's path, and nothing found yet. The workspace's own plugins keep out."""
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", WORKSPACE_PLUGINS)
    with site_in(tmp_path, monkeypatch) as site:
        yield site


@pytest.fixture
def run_fresh(tmp_path: Path) -> Callable[..., str]:
    """Runs Python code in a new process that has the site on its path; returns what it prints, warnings included."""

    def run(code: str, **environ: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "always", "-c", textwrap.dedent(code)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run
