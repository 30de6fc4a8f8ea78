"""A plugin of each kind as its author makes it: rendered, built, installed beside the core, tested, listed, chosen."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from spark_testing.new.project import KINDS
from tests.install.wheels import Environment, Workshop
from tests.support.projects import PROJECTS, make

pytestmark = pytest.mark.thorough
each_kind = pytest.mark.parametrize("kind", KINDS)

PROGRAM = """
import asyncio
from spark.graphs import ExitNode, Graph, node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager

@node
async def spend(context):
    await context.graph_state.set("dollars_spent", await context.graph_state.get("dollars_spent", 0) + 2)
    return {"done": await context.graph_state.get("dollars_spent") >= 20}

async def main():
    spend.on(done=False) >> spend
    graph = Graph(start=spend, id="mine", checkpoint_config=CheckpointConfig.load())
    await graph.run()
    infos = await CheckpointManager(graph.checkpoint_backend).list_checkpoints("mine")
    print(len(infos))
    restored = Graph(start=spend, id="mine", checkpoint_config=CheckpointConfig.load())
    await restored.run(resume=True)
    print(await restored.get_state("dollars_spent"))

asyncio.run(main())
"""
"""A program that names no plugin; the settings beside it do."""


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rendered")
    return {kind: make(kind, folder) for kind in KINDS}


def environment_of(kind: str, workshop: Workshop, projects: dict[str, Path]) -> Environment:
    wheel = workshop.build_one(projects[kind], name=f"new-{kind}")
    return workshop.install("spark-graphs[cli,sql,testing]", wheel)


def settings_of(project: Path, directory: Path) -> str:
    """What its README says to write into spark.toml, with places of this test."""
    found = re.search(r"^```toml\n(.*?)^```", (project / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1].replace("/var/lib", str(directory))


@each_kind
def test_it_passes_its_suite_where_its_wheel_is_installed(
    workshop: Workshop, projects: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """In a copy of its tests alone: its sources are not there."""
    (tmp_path / "pyproject.toml").write_text((projects[kind] / "pyproject.toml").read_text())
    (tmp_path / "tests").symlink_to(projects[kind] / "tests")
    environment = environment_of(kind, workshop, projects)

    done = environment.python_with("-m", "pytest", "-q", "-p", "no:cacheprovider", directory=tmp_path, seconds=100)

    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr


@each_kind
def test_it_is_listed_where_it_is_installed(
    workshop: Workshop, projects: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    done = environment_of(kind, workshop, projects).call("spark", "plugins", "--json", directory=tmp_path)

    (listed,) = [each for each in json.loads(done.stdout) if each["distribution"] == PROJECTS[kind].distribution]
    assert (listed["name"], listed["status"]) == (PROJECTS[kind].name, "loaded")
    assert f"{kind}:{PROJECTS[kind].name}" in listed["provides"]


@each_kind
def test_the_settings_in_its_readme_choose_it_for_a_program_that_does_not_name_it(
    workshop: Workshop, projects: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    (tmp_path / "spark.toml").write_text(settings_of(projects[kind], tmp_path))

    printed = environment_of(kind, workshop, projects).print(PROGRAM, directory=tmp_path)

    assert printed.split()[1] == "20"
