"""Where nothing is unpacked: wheels put on ``sys.path``, and an app that is one zip file."""

from __future__ import annotations

import json
import os
import zipapp
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.install.programs import APP
from tests.install.wheels import Environment, Wheel, Workshop
from tests.install.workspace import core

PARTS = ("spark-graphs", "spark-graphs-backend-file", "spark-graphs-format-pickle")

FOUND = """
import spark_backend_file
from spark.hooks import plugins

print([plugin.version for plugin in plugins() if plugin.name == "file"], spark_backend_file.__file__)
"""


@pytest.fixture(scope="module")
def bare(workshop: Workshop) -> Environment:
    """Has what the core requires, and nothing of ours."""
    return workshop.install(*core().project["dependencies"])


def test_wheels_on_the_path_do_what_they_are_for(bare: Environment, wheels: dict[str, Wheel], tmp_path: Path) -> None:
    on_the_path = f"import sys\nsys.path[:0] = {[str(wheels[name].path) for name in PARTS]!r}\n{APP}"

    killed = run(bare, on_the_path, f"file://{tmp_path}/store", directory=tmp_path, DIE_AT="4")
    failed = run(bare, on_the_path, f"file://{tmp_path}/store", directory=tmp_path, FAIL_AT="5")
    resumed = run(bare, on_the_path, f"file://{tmp_path}/store", directory=tmp_path)

    assert killed == {}
    assert [function for _, _, function in failed["said"]] == ["Count.process"]
    assert resumed["said"]["count"] == 6
    assert [(name, status) for name, _, status in resumed["plugins"]] == [
        ("builtin", "loaded"),
        ("file", "loaded"),
        ("pickle", "loaded"),
    ]


def test_what_is_not_there_is_known_by_name(bare: Environment, wheels: dict[str, Wheel], tmp_path: Path) -> None:
    """The list of what can be installed is a file in the wheel of the core."""
    on_the_path = f"import sys\nsys.path.insert(0, {str(wheels['spark-graphs'].path)!r})\n{APP}"

    said = run(bare, on_the_path, "sqlite:///checkpoints.db", directory=tmp_path)["said"]

    assert said.endswith("To get it: pip install 'spark-graphs[sql]'")


def test_an_app_in_one_zip_file_is_killed_and_resumed(
    bare: Environment, wheels: dict[str, Wheel], tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    for name in PARTS:
        with zipfile.ZipFile(wheels[name].path) as archive:
            archive.extractall(parts)
    (parts / "__main__.py").write_text(APP)
    zipapp.create_archive(parts, app := tmp_path / "app.pyz")

    killed = start(bare, app, f"file://{tmp_path}/store", directory=tmp_path, DIE_AT="4")
    resumed = start(bare, app, f"file://{tmp_path}/store", directory=tmp_path)

    assert killed == {}
    assert resumed["said"]["count"] == 6


def test_the_kit_makes_projects_from_the_templates_in_its_wheel(
    bare: Environment, wheels: dict[str, Wheel], tmp_path: Path
) -> None:
    path = os.pathsep.join(str(wheels[name].path) for name in ("spark-graphs", "spark-graphs-testing-kit"))

    done = bare.python_with(
        "-m", "spark_testing", "new", "backend", "shelf", directory=tmp_path, variables=[("PYTHONPATH", path)]
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "spark-graphs-backend-shelf/src/spark_backend_shelf/backend.py").exists()
    assert (tmp_path / "spark-graphs-backend-shelf/LICENSE").stat().st_size > 1_000


@pytest.mark.parametrize("is_first", [True, False], ids=["before what is installed", "behind it"])
def test_of_two_copies_the_one_counts_that_python_imports(
    with_files: Environment, wheels: dict[str, Wheel], tmp_path: Path, is_first: bool
) -> None:
    wheel = of_version("9.0", wheels["spark-graphs-backend-file"], tmp_path)
    place = "0" if is_first else "len(sys.path)"

    versions, file = with_files.print(
        f"import sys\nsys.path.insert({place}, {str(wheel)!r})\n{FOUND}", directory=tmp_path
    ).split()

    assert versions == ("['9.0']" if is_first else "['0.1.0']")
    assert file.startswith(str(wheel)) is is_first


def run(environment: Environment, code: str, url: str, *, directory: Path, **variables: str) -> dict[str, Any]:
    program = directory / "program.py"
    program.write_text(code)
    return start(environment, program, url, directory=directory, **variables)


def start(environment: Environment, program: Path, url: str, *, directory: Path, **variables: str) -> dict[str, Any]:
    """What the app says, or nothing where it was killed."""
    done = environment.python_with("-W", "error", str(program), url, directory=directory, variables=variables.items())
    assert done.returncode == (-9 if "DIE_AT" in variables else 0), done.stderr
    return json.loads(done.stdout) if done.stdout else {}


def of_version(version: str, wheel: Wheel, folder: Path) -> Path:
    """The same wheel, which says that it has another version."""
    old = wheel.metadata["Version"]
    path = folder / wheel.path.name.replace(old, version)
    with zipfile.ZipFile(path, "w") as archive:
        for name in wheel.names:
            content = wheel.read(name).replace(f"\nVersion: {old}\n".encode(), f"\nVersion: {version}\n".encode())
            archive.writestr(name.replace(f"-{old}.dist-info", f"-{version}.dist-info"), content)
    return path
