"""A plugin of each kind as its author makes it: rendered, built, installed beside the core, tested, listed, chosen."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from spark_testing.new.project import KINDS
from tests.install.wheels import Environment, Workshop
from tests.spec.page import blocks
from tests.support.projects import PROJECTS, make

pytestmark = pytest.mark.thorough
each_kind = pytest.mark.parametrize("kind", KINDS)

PROGRAM = """
import asyncio, json, os, re, signal
from packaging.version import Version
from spark.graphs import ExitNode, Graph, Node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager

class Spend(Node):
    async def process(self, context):
        spent = await context.graph_state.get("dollars_spent", 0) + 2
        if spent == int(os.environ.get("DIE_AT", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        await context.graph_state.set("dollars_spent", spent)
        return {"done": spent >= 20}

async def main():
    spend = Spend()
    spend.on(done=False) >> spend
    spend.on(done=True) >> ExitNode()
    graph = Graph(start=spend, id="mine", state={"value": VALUE}, checkpoint_config=CheckpointConfig.load())
    await graph.run(resume=True)
    backend = graph.checkpoint_backend
    manager = CheckpointManager(backend)
    infos = sorted(await manager.list_checkpoints("mine"), key=lambda info: info.sequence)
    checkpoints = [await manager.load_checkpoint(info.checkpoint_id) for info in infos]
    latest = await backend.get("mine", infos[-1].sequence)
    print(json.dumps({
        "spent": [checkpoint.graph_state["dollars_spent"] for checkpoint in checkpoints],
        "value": repr(checkpoints[-1].graph_state["value"]),
        "header": json.loads(latest.header.to_json()),
        "backend": backend.name,
    }))

asyncio.run(main())
"""
"""A program that names no plugin; the settings beside it do. It dies on the way when it is told to."""

KEY = ("SPARK_MY_CODEC_KEY", "a key of the test, long enough to be one")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rendered")
    return {kind: make(kind, folder) for kind in KINDS}


def environment_of(kind: str, workshop: Workshop, projects: dict[str, Path]) -> Environment:
    wheel = workshop.build_one(projects[kind], name=f"new-{kind}")
    return workshop.install("spark-graphs[cli,sql,testing]", wheel)


def settings_of(project: Path) -> str:
    """What its README says to write into spark.toml."""
    return next(block.code for block in blocks(project / "README.md") if block.language == "toml")


def test_the_wheel_of_the_kit_makes_the_same_projects(workshop: Workshop, tmp_path: Path) -> None:
    """Hidden files and the licence included."""
    environment = workshop.install("spark-graphs[testing]")

    for kind, project in PROJECTS.items():
        arguments = ("-m", "spark_testing", "new", kind, project.name, f"made/{project.distribution}")
        done = environment.python_with(*arguments, directory=tmp_path)
        assert done.returncode == 0, done.stderr
        make(kind, tmp_path / "expected")

    assert contents(tmp_path / "made") == contents(tmp_path / "expected")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@each_kind
def test_it_passes_its_suite_where_its_wheel_is_installed(
    workshop: Workshop, projects: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """In a copy of its tests alone: its sources are not there."""
    (tmp_path / "pyproject.toml").write_text((projects[kind] / "pyproject.toml").read_text())
    (tmp_path / "tests").symlink_to(projects[kind] / "tests")
    environment = environment_of(kind, workshop, projects)

    done = environment.python_with("-m", "pytest", "-q", "-p", "no:cacheprovider", directory=tmp_path, seconds=200)

    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr


@each_kind
def test_it_is_listed_where_it_is_installed(
    workshop: Workshop, projects: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    done = environment_of(kind, workshop, projects).call("spark", "plugins", "--json", directory=tmp_path)

    (listed,) = [each for each in json.loads(done.stdout) if each["distribution"] == PROJECTS[kind].distribution]
    assert (listed["kind"], listed["name"], listed["status"]) == (kind, PROJECTS[kind].name, "loaded")
    assert listed["summary"]


def run_and_resume(environment: Environment, directory: Path, *, value: str = "None") -> dict[str, Any]:
    """What the program reports that goes on where the same program was killed."""
    program = PROGRAM.replace("VALUE", value)
    killed = environment.run(program, directory=directory, variables=[("DIE_AT", "16"), KEY])
    resumed = environment.run(program, directory=directory, variables=[KEY])

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert resumed.returncode == 0, resumed.stderr
    report: dict[str, Any] = json.loads(resumed.stdout)
    assert report["spent"][-1] == 20
    return report


Install = Callable[..., Environment]


@pytest.fixture
def install(workshop: Workshop, projects: dict[str, Path], tmp_path: Path) -> Install:
    """Installs the plugin of a kind, and writes what its README says into spark.toml, with places of this test."""

    def install(kind: str, **places: str) -> Environment:
        settings = settings_of(projects[kind])
        for old, new in places.items():
            assert old in settings
            settings = settings.replace(old, new)
        (tmp_path / "spark.toml").write_text(settings)
        return environment_of(kind, workshop, projects)

    return install


def test_settings_choose_its_backend(install: Install, tmp_path: Path) -> None:
    report = run_and_resume(install("backend", **{"/var/lib": str(tmp_path)}), tmp_path)

    assert report["backend"] == "shelf"
    assert list((tmp_path / "runs").glob("*.record"))


def test_settings_choose_its_format(install: Install, tmp_path: Path) -> None:
    assert run_and_resume(install("format"), tmp_path)["header"]["format"] == "my_format"


def test_settings_choose_its_serializer(install: Install, tmp_path: Path) -> None:
    report = run_and_resume(install("serializer"), tmp_path, value="re.compile('a+')")

    assert report["header"]["serializer"] == "my_serializer"
    assert report["value"] == "re.compile('a+')"


def test_its_types_are_saved_once_it_is_installed(install: Install, tmp_path: Path) -> None:
    assert run_and_resume(install("types"), tmp_path, value="Version('1.2')")["value"] == "<Version('1.2')>"


def test_settings_choose_its_trigger_which_remembers(install: Install, tmp_path: Path) -> None:
    """The run is killed at 16 dollars and resumed at 12: a trigger that forgot what was spent would be due at 14."""
    assert run_and_resume(install("trigger"), tmp_path)["spent"] == [6, 12, 18, 20]


def test_settings_choose_its_retention(install: Install, tmp_path: Path) -> None:
    """Of checkpoints that are not recent, one an hour is left; the hour may end during the test."""
    report = run_and_resume(install("retention", **{"recent = 30": "recent = 0"}), tmp_path)

    assert len(report["spent"]) <= 2


def test_settings_configure_its_observer(install: Install, tmp_path: Path) -> None:
    with receiving() as (url, received):
        run_and_resume(install("observer", **{"http://127.0.0.1:9000/hook": url}), tmp_path)

    assert {each["event"] for each in received} >= {"created", "restored"}
    assert {each["graph_id"] for each in received if each["event"] == "created"} == {"mine"}


def test_settings_choose_its_codec(install: Install, tmp_path: Path) -> None:
    assert run_and_resume(install("codec"), tmp_path)["header"]["codecs"] == ["my_codec"]


@contextmanager
def receiving() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on this machine: its URL, and what was posted to it."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", received
        server.shutdown()
        thread.join()
