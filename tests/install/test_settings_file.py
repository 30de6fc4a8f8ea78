"""A settings file chooses plugins of every kind, which were made from the kit's templates; the program names none of them.

With everything on the path, installed from wheels, and in an app that PyInstaller builds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from spark_testing.new.project import Project, render
from tests.install.settings_file import PROGRAM, SECRET, Hook, Job, Start, listening
from tests.install.wheels import Workshop, clean_environment
from tests.support.projects import install_from_source

MADE = (Project("trigger", "cost_budget"), Project("serializer", "patterns"), Project("observer", "webhook"))


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("rendered")
    for project in MADE:
        render(project, folder / project.distribution)
    return [folder / project.distribution for project in MADE]


@pytest.fixture(
    scope="module",
    params=[
        "on the path",
        pytest.param("from wheels", marks=pytest.mark.thorough),
        pytest.param("in an app", marks=[pytest.mark.thorough, pytest.mark.timeout(600)]),
    ],
)
def start(request: pytest.FixtureRequest, projects: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts the program where the plugins are: beside the sources, installed, or frozen into one folder with it."""
    folder = tmp_path_factory.mktemp("program")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    if request.param == "on the path":
        path = os.pathsep.join(str(install_from_source(project)) for project in projects)
        return partial(run, [sys.executable, str(program)], PYTHONPATH=path)
    workshop: Workshop = request.getfixturevalue("workshop")
    wheels = [workshop.build_one(project, name=f"chosen-{project.name}") for project in projects]
    wanted = ("spark-graphs[sql,cli,msgpack,arrays,testing]", "numpy", *wheels)
    if request.param == "from wheels":
        return partial(run, [str(workshop.install(*wanted).python), str(program)])
    return partial(run, [str(workshop.freeze(program, *wanted))])


def run(command: list[str], *arguments: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments],
        cwd=directory,
        env=clean_environment() | variables,
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as hook:
        yield hook


@pytest.fixture
def job(start: Start, tmp_path: Path, hook: Hook) -> Job:
    return Job(start, tmp_path / "job", hook)


@pytest.fixture(scope="module")
def undisturbed(start: Start, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What the program tells, and the events that its webhook is told, where nothing happens to it."""
    with listening() as hook:
        return Job(start, tmp_path_factory.mktemp("undisturbed"), hook).start(), hook.events


def test_the_settings_are_what_the_run_does(job: Job, hook: Hook) -> None:
    told = job.start()

    assert told["step"] == 80
    assert told["weights"] == [">f4", 100, 8000.0]
    assert told["wanted"] == "job-80"
    assert len(told["kept"]) == 20
    assert job.formats == {"msgpack"}
    assert hook.secrets == {f"Bearer {SECRET}"}
    assert SECRET not in "".join(job.said)


@pytest.mark.thorough
def test_a_killed_run_is_resumed_as_if_nothing_had_happened(
    job: Job, hook: Hook, undisturbed: tuple[dict[str, Any], list[tuple[str, str]]]
) -> None:
    killed = job.start(DIE_AT="50")
    resumed = job.start()

    assert killed == {}
    assert (resumed, [event for event in hook.events if event[0] != "restored"]) == undisturbed
    assert [event for event, _ in hook.events].count("restored") == 1
    assert job.formats == {"msgpack"}
    assert SECRET not in "".join(job.said)


@pytest.mark.thorough
def test_a_graph_restored_from_a_checkpoint_behaves_as_the_settings_said(
    job: Job, hook: Hook, undisturbed: tuple[dict[str, Any], list[tuple[str, str]]]
) -> None:
    """The checkpoint says how; only the secret is in the settings alone."""
    job.start(DIE_AT="50")

    restored = job.start(job.url)

    assert (restored, [event for event in hook.events if event[0] != "restored"]) == undisturbed
    assert job.formats == {"msgpack"}
    assert hook.secrets == {f"Bearer {SECRET}"}
    assert SECRET not in "".join(job.said)
    assert SECRET.encode() not in (job.folder / "runs.db").read_bytes()


@pytest.mark.thorough
def test_where_the_settings_are_missing_all_but_the_secret_is_restored(
    job: Job, hook: Hook, undisturbed: tuple[dict[str, Any], list[tuple[str, str]]], tmp_path: Path
) -> None:
    job.start(DIE_AT="50")

    restored = job.start_in(tmp_path, job.url)

    assert restored == undisturbed[0]
    assert job.formats == {"msgpack"}
    assert "webhook" in job.said[-1]
    assert "secret" in job.said[-1]
    assert SECRET not in "".join(job.said)
