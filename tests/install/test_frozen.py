"""An app that PyInstaller builds finds its plugins, ours and those of others, and survives a kill."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.install.once import made_once
from tests.install.programs import APP
from tests.install.wheels import Workshop, clean_environment
from tests.support.projects import make

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def app(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of an app, in a folder that has all that it needs."""
    if sys.platform == "linux" and not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        pytest.skip("PyInstaller needs a Python that was built with --enable-shared")
    project = make("backend", tmp_path_factory.mktemp("rendered"))
    return made_once(workshop.directory / "frozen", lambda folder: build(workshop, project, folder)) / "dist/app/app"


def build(workshop: Workshop, project: Path, folder: Path) -> None:
    shelf = workshop.build_one(project, name="shelf-to-freeze")
    environment = workshop.install_afresh(folder / "environment", "spark-graphs[file,sql]", shelf)
    added = workshop.try_to_add(environment, "pyinstaller>=6.10")
    if added.returncode:
        pytest.skip(f"PyInstaller can't be installed: {added.stderr}")
    (folder / "app.py").write_text(APP)
    done = environment.python_with("-m", "PyInstaller", "--onedir", "app.py", directory=folder, seconds=300)
    assert done.returncode == 0, done.stderr


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
        [app, url], cwd=directory, env=clean_environment() | variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == (-9 if "DIE_AT" in variables else 0), done.stderr
    return json.loads(done.stdout) if done.stdout else {}
