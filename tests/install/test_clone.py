"""A plugin developed against a clone of this repository, with the commands that its README gives: nothing need be released."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.install.wheels import Workshop, clean_environment
from tests.install.workspace import ROOT
from tests.spec.page import blocks
from tests.support.projects import make

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]
CLONE = "../spark-graphs"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make("format", tmp_path)


def blocks_about_the_clone(project: Path, language: str) -> list[str]:
    """Those of its README, with the place of this clone."""
    found = [each.code for each in blocks(project / "README.md") if each.language == language]
    return [code.replace(CLONE, str(ROOT)) for code in found if CLONE in code]


def test_with_pip(project: Path) -> None:
    (install,) = blocks_about_the_clone(project, "sh")
    script = f"{sys.executable} -m venv .venv\n. .venv/bin/activate\n{install}\npytest -q"

    done = run(project, "sh", "-ec", script)

    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr


def test_with_uv(workshop: Workshop, project: Path) -> None:
    (sources,) = blocks_about_the_clone(project, "toml")
    with (project / "pyproject.toml").open("a") as described:
        described.write(f"\n{sources}")
    assert "`uv run --extra test pytest`" in (project / "README.md").read_text()

    done = run(project, workshop.uv, "run", "--python", sys.executable, "--extra", "test", "pytest", "-q")

    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=project, env=clean_environment(), capture_output=True, text=True, timeout=500)
