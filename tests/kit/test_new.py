"""``python -m spark_testing new``: what it writes, which names it takes, and that what it writes works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from spark.hooks import BackendSpec, TypesSpec, hookimpl, register
from spark_testing.__main__ import main
from spark_testing.new.project import KINDS, Project, render
from tests.kit.test_guard import WITHOUT
from tests.spec.page import ROOT
from tests.support.projects import PROJECTS, install_from_source, make

each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def project(kind: str, tmp_path: Path) -> Path:
    return make(kind, tmp_path)


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(["retention", "trigger"], id="rules"),
        pytest.param(["backend"], id="backend", marks=pytest.mark.thorough),
        pytest.param([kind for kind in KINDS if kind != "backend"], id="others", marks=pytest.mark.thorough),
    ],
)
def test_new_projects_pass_the_suites_of_their_kinds(kinds: list[str], tmp_path: Path) -> None:
    """From its sources, as its author runs it, or several at once; tests/install does so with the wheel of each."""
    projects = [make(kind, tmp_path) for kind in kinds]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(install_from_source(each)) for each in projects)}

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "-c",
            "pyproject.toml",
            *WITHOUT,
            *(f"../{each.name}/tests" for each in projects),
        ],
        cwd=projects[0],
        env=environment,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr
    assert " skipped" not in done.stdout
    assert [kind for kind in kinds if f"test_{PROJECTS[kind].name}.py::" not in done.stdout] == []


@each_kind
def test_nothing_of_the_template_is_left_in_a_new_project(project: Path) -> None:
    files = [file for file in project.rglob("*") if file.is_file() and file.name != "LICENSE"]
    texts = {str(file.relative_to(project)): file.read_text() for file in files}

    assert [name for name, text in texts.items() if "example" in f"{name} {text}".lower()] == []
    assert [name for name, text in texts.items() if re.search("KIND|SUMMARY|USAGE", f"{name} {text}")] == []


@each_kind
def test_a_new_project_has_the_files_that_its_kind_needs(kind: str, project: Path) -> None:
    wanted = PROJECTS[kind]
    package = f"src/{wanted.package}"

    assert {file.relative_to(project).as_posix() for file in project.rglob("*") if file.is_file()} == {
        ".github/workflows/release.yml",
        ".gitignore",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        *(f"{package}/{name}" for name in ("__init__.py", "plugin.py", "py.typed", f"{kind}.py")),
        f"tests/test_{wanted.name}.py",
    }
    assert (project / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@each_kind
def test_a_new_project_is_described_by_its_template(kind: str, project: Path) -> None:
    described = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    summary = described["description"]

    assert described["name"] == PROJECTS[kind].distribution
    assert described["dependencies"] == ["spark-graphs>=0.1,<0.2"]
    assert (project / "README.md").read_text().startswith(f"# {described['name']}\n\n{summary}\n")
    assert f'summary="{summary}"' in (project / "src" / PROJECTS[kind].package / "plugin.py").read_text()


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("backend", "", "use lower case letters"),
        (
            "backend",
            "Redis",
            "use lower case letters, digits and single underscores between them, a letter first: redis",
        ),
        ("backend", "my-backend", "a letter first: mybackend"),
        ("backend", "my_backend", "URL scheme, which can't hold an underscore: mybackend"),
        ("trigger", "Cost-Budget", "a letter first: cost_budget"),
        ("trigger", "../x", "a letter first: x"),
        ("trigger", "class", "keyword of Python"),
        ("trigger", "match", "keyword of Python"),
        ("format", "csv", "Python itself has it"),
        ("trigger", "any", "Python itself has it"),
        ("observer", "spark", "spark-graphs uses it itself"),
        ("observer", "memory", "spark-graphs has a backend of that name. Choose another one."),
        ("trigger", "every_seconds", "spark-graphs has a trigger of that name. Choose another one."),
        ("format", "json", "spark-graphs has a format of that name. Choose another one."),
        ("types", "numpy", "the installed plugin 'arrays' of spark-graphs-types-arrays"),
        ("backend", "file", "the installed plugin 'file' of spark-graphs-backend-file"),
        ("backend", "sqlite", "the installed plugin 'sql' of spark-graphs-backend-sql"),
        ("format", "pickle", "the installed plugin 'pickle' of spark-graphs-format-pickle"),
        ("observer", "sqlite", "spark-graphs-backend-sql has it, which pip install 'spark-graphs[sql]' installs"),
        ("observer", "zstd", "it is an extra of spark-graphs"),
    ],
)
def test_a_name_that_is_taken_or_would_not_do_everywhere_is_refused(
    tmp_path: Path, kind: str, name: str, reason: str
) -> None:
    with pytest.raises(ValueError) as refused:
        render(Project(kind, name), tmp_path / "new")

    one = {"observer": "an observer", "types": "a bundle of types"}.get(kind, f"a {kind}")
    assert str(refused.value).startswith(f"{name!r} can't be the name of {one}: ")
    assert reason in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_another_kind_is_free(tmp_path: Path) -> None:
    """They are chosen in different places, so a trigger may be called as somebody's backend is."""
    plugin = SimpleNamespace(spark_backends=hookimpl(lambda: [BackendSpec(name="mine", target="theirs:Backend")]))

    with register(plugin, name="theirs"):
        assert render(Project("trigger", "mine"), tmp_path / "one")
        with pytest.raises(ValueError, match="the installed plugin 'theirs'"):
            render(Project("backend", "mine"), tmp_path / "two")


def test_a_module_whose_types_are_saved_is_a_free_name(tmp_path: Path) -> None:
    theirs = SimpleNamespace(
        spark_types=hookimpl(lambda: [TypesSpec(name="shapes", target="theirs:Types", modules=("shapely",))])
    )

    with register(theirs, name="theirs"):
        for kind, name in [("trigger", "shapely"), ("observer", "numpy"), ("backend", "pandas")]:
            assert render(Project(kind, name), tmp_path / name)


def test_a_name_whose_package_is_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "spark_backend_mine").mkdir()
    (tmp_path / "spark_backend_mine" / "__init__.py").touch()

    with pytest.raises(ValueError, match="the package spark_backend_mine is installed already"):
        render(Project("backend", "mine"), tmp_path / "new")


def test_the_command_writes_where_it_is_told_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["new", "backend", "mine"]) == 0
    assert main(["new", "backend", "mine", "elsewhere/mine"]) == 0

    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "spark-graphs-backend-mine"]
    assert "elsewhere/mine/pyproject.toml" in capsys.readouterr().out


def test_the_command_says_what_is_wrong_and_writes_over_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()

    assert main(["new", "backend", "mine", "mine"]) == 1
    assert main(["new", "backend", "file"]) == 1

    refusals = capsys.readouterr().err.splitlines()
    assert refusals[0] == "mine exists already. Name a directory that does not."
    assert refusals[1].startswith("'file' can't be the name of a backend: ")
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_the_command_is_started_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "spark_testing", "new", "--help"], capture_output=True, text=True)

    assert done.returncode == 0
    assert ", ".join(KINDS) in " ".join(done.stdout.split())


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    project = make("backend", tmp_path_factory.mktemp("workflow"))
    found: dict[str, Any] = yaml.safe_load((project / ".github" / "workflows" / "release.yml").read_text())
    return found


def test_the_workflow_may_read_and_only_the_job_that_publishes_may_identify_itself(workflow: dict[str, Any]) -> None:
    permissions = {name: job.get("permissions") for name, job in workflow["jobs"].items()}

    assert workflow["permissions"] == {"contents": "read"}
    assert permissions == {"test": None, "build": None, "publish": {"id-token": "write"}}
    assert workflow["jobs"]["publish"]["environment"] == "release"


def test_the_workflow_builds_once_and_publishes_what_was_built(workflow: dict[str, Any]) -> None:
    jobs = workflow["jobs"]
    used = [step["uses"].partition("@")[0] for step in jobs["publish"]["steps"]]

    assert (jobs["build"]["needs"], jobs["publish"]["needs"]) == ("test", "build")
    assert used == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]
    assert "startsWith(github.ref, 'refs/tags/v')" in jobs["publish"]["if"]


def test_the_workflow_pins_every_action_and_tests_every_supported_python(workflow: dict[str, Any]) -> None:
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    versions = [step["uses"].partition("@")[2] for step in steps if "uses" in step]

    assert all(version.count(".") == 2 for version in versions)
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]


@pytest.mark.parametrize(("tag", "is_right"), [("v0.1.0", True), ("v0.1.1", False), ("0.1.0", False)])
def test_the_workflow_stops_at_a_tag_that_is_not_the_version(
    workflow: dict[str, Any], tmp_path: Path, tag: str, is_right: bool
) -> None:
    (step,) = [step for step in workflow["jobs"]["build"]["steps"] if step.get("shell") == "python"]
    project = make("backend", tmp_path)

    done = subprocess.run(
        [sys.executable, "-c", step["run"]], cwd=project, env={"TAG": tag}, capture_output=True, text=True
    )

    assert done.returncode == (0 if is_right else 1), done.stderr
    assert is_right or f"The tag is {tag}, but pyproject.toml says version 0.1.0; its tag is v0.1.0." in done.stderr
