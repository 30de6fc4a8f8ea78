"""An app that PyInstaller builds finds its plugins, ours and those of others, and survives a kill."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.install.programs import APP
from tests.install.wheels import Workshop, clean_environment
from tests.support.projects import make

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def app(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of an app, in a folder that has all that it needs."""
    project = make("backend", folder := tmp_path_factory.mktemp("rendered"))
    (program := folder / "program.py").write_text(APP)
    return workshop.freeze(program, "spark-graphs[file,sql]", workshop.build_one(project, name="shelf-to-freeze"))


@pytest.mark.parametrize("url", ["file://{}/files", "sqlite:///{}/checkpoints.db", "shelf://{}/shelf"])
def test_an_app_is_killed_and_resumed(app: Path, tmp_path: Path, url: str) -> None:
    killed = start(app, url.format(tmp_path), directory=tmp_path, DIE_AT="4")
    resumed = start(app, url.format(tmp_path), directory=tmp_path)

    assert killed == {}
    assert resumed["said"]["count"] == 6
    assert resumed["plugins"] == [
        ["builtin", "0.1.0", "loaded"],
        ["file", "0.1.0", "loaded"],
        ["shelf", "0.1.0", "loaded"],
        ["sql", "0.1.0", "loaded"],
    ]


def test_what_the_app_does_not_have_is_known_by_name(app: Path, tmp_path: Path) -> None:
    assert start(app, "s3://bucket", directory=tmp_path)["said"].endswith("pip install 'spark-graphs[s3]'")


def test_an_error_is_stored_without_the_frames_of_the_engine(app: Path, tmp_path: Path) -> None:
    stack = start(app, f"file://{tmp_path}", directory=tmp_path, FAIL_AT="2")["said"]

    assert [function for _, _, function in stack] == ["Count.process"]


def start(app: Path, url: str, *, directory: Path, **variables: str) -> dict[str, Any]:
    """What the app says, or nothing where it was killed."""
    done = subprocess.run(
        [app, url], cwd=directory, env=clean_environment() | variables, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == (-9 if "DIE_AT" in variables else 0), done.stderr
    return json.loads(done.stdout) if done.stdout else {}
