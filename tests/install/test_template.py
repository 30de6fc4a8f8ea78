"""The template of a backend, as an author uses it: rendered, built, installed beside the core, proven, chosen by URL."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from plugins.templates.render import render
from tests.install.wheels import TESTING, Environment, Wheel, Workshop, clean_environment

RUN = """
import asyncio
from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import CheckpointConfig
from spark.hooks import plugins

graph = Graph(start=ExitNode(), id="mine", checkpoint_config=CheckpointConfig(backend="shelf:///STORE"))
asyncio.run(graph.run())
print(type(graph.checkpoint_backend).__name__, [plugin.name for plugin in plugins() if plugin.status == "loaded"])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("rendered") / "spark-graphs-backend-shelf"
    render("shelf", target)
    return target


@pytest.fixture(scope="module")
def environment(workshop: Workshop, wheels: dict[str, Wheel], project: Path) -> Environment:
    wheel = workshop.build_one(project)
    return workshop.install_together("template", [wheels[TESTING], wheel], wheels=wheels)


def test_nothing_of_the_example_is_left_in_a_rendered_project(project: Path) -> None:
    files = [file for file in project.rglob("*") if file.is_file() and file.name != "LICENSE"]

    assert (project / ".github" / "workflows" / "release.yml") in files
    assert [file for file in files if "example" in f"{file}{file.read_text()}".lower()] == []


def test_a_rendered_project_passes_the_suite_where_it_is_installed(environment: Environment, project: Path) -> None:
    done = subprocess.run(
        [environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr
    assert int(done.stdout.rsplit("\n", 2)[-2].split()[0]) > 90


def test_it_is_chosen_by_its_url(environment: Environment, tmp_path: Path) -> None:
    printed = environment.print(RUN.replace("/STORE", f"{tmp_path}/store"), directory=tmp_path)

    assert printed.startswith("ShelfCheckpointBackend ['builtin', 'shelf']")
    assert len(list((tmp_path / "store").glob("*-00000000000000000001.record"))) == 1


@pytest.mark.parametrize("name", ["", "Redis", "my-backend", "../x"])
def test_a_name_that_would_not_do_everywhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="lower case"):
        render(name, tmp_path / "new")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        render("shelf", tmp_path)
