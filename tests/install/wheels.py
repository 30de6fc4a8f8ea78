"""The project's distributions as a user gets them: built into wheels, installed into environments of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]

CORE = "spark-graphs"
FILE = "spark-graphs-backend-file"
S3 = "spark-graphs-backend-s3"
SQL = "spark-graphs-backend-sql"
CLI = "spark-graphs-cli"
PICKLE = "spark-graphs-serializer-pickle"
TESTING = "spark-graphs-testing-kit"


def find_uv() -> str | None:
    """The uv that ``make`` bootstraps, or the one that the machine has."""
    here = ROOT / ".tools" / "bin" / "uv"
    return os.environ.get("UV") or (str(here) if here.exists() else shutil.which("uv"))


@dataclass(frozen=True)
class Wheel:
    """One built wheel."""

    path: Path

    @cached_property
    def metadata(self) -> Message:
        """What the distribution says about itself."""
        (name,) = [name for name in self.names if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(self.read(name))

    @cached_property
    def names(self) -> list[str]:
        """The files in it."""
        with zipfile.ZipFile(self.path) as archive:
            return archive.namelist()

    def read(self, name: str) -> bytes:
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(name)


@dataclass(frozen=True)
class Workshop:
    """Builds wheels and environments, in one directory."""

    uv: str
    directory: Path

    def build(self) -> dict[str, Wheel]:
        """The wheel of every distribution, by its name."""
        folder = self.directory / "wheels"
        self._run("build", "--quiet", "--wheel", "--all-packages", "--out-dir", str(folder))
        wheels = [Wheel(path) for path in folder.glob("*.whl")]
        return {wheel.metadata["Name"]: wheel for wheel in wheels}

    def build_one(self, project: Path) -> Wheel:
        """The wheel of a project that is not ours."""
        folder = self.directory / project.name
        self._run("build", "--quiet", "--wheel", "--out-dir", str(folder), str(project))
        (path,) = folder.glob("*.whl")
        return Wheel(path)

    def install_together(self, name: str, wanted: Iterable[Wheel], *, wheels: Mapping[str, Wheel]) -> Environment:
        """A fresh environment with these wheels, and what they need."""
        environment = self._new_environment(name, wheels)
        paths = [str(wheel.path) for wheel in wanted]
        self._pip_install(name, environment, *paths)
        return environment

    def install(self, name: str, *, extras: str, wheels: Mapping[str, Wheel]) -> Environment:
        """A fresh environment in which somebody did ``pip install 'spark-graphs[extras]'``, from these wheels."""
        environment = self._new_environment(name, wheels)
        self._pip_install(name, environment, f"{CORE}{extras} @ {wheels[CORE].path.as_uri()}")
        return environment

    def _new_environment(self, name: str, wheels: Mapping[str, Wheel]) -> Environment:
        folder = self.directory / name
        self._run("venv", "--quiet", "--python", sys.executable, str(folder))
        constraints = self.directory / f"{name}.txt"
        constraints.write_text("".join(f"{dist} @ {wheel.path.as_uri()}\n" for dist, wheel in wheels.items()))
        return Environment(folder / "bin" / "python")

    def _pip_install(self, name: str, environment: Environment, *wanted: str) -> None:
        constraints = str(self.directory / f"{name}.txt")
        python = str(environment.python)
        self._run("pip", "install", "--quiet", "--python", python, "--constraint", constraints, *wanted)

    def _run(self, *arguments: str) -> None:
        # In the root, where uv reads the project's settings, such as the date of the newest release to use.
        done = subprocess.run([self.uv, *arguments], cwd=ROOT, env=clean_environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"uv {' '.join(arguments)} failed:\n{done.stderr}"


@dataclass(frozen=True)
class Environment:
    """A Python with some of the project's distributions, and nothing of this source tree."""

    python: Path

    def run(
        self, code: str, *, directory: Path, variables: Iterable[tuple[str, str]] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run the code as a program of its own, in that directory."""
        program = directory / "program.py"
        program.write_text(code)
        return subprocess.run(
            [self.python, "-W", "error", program],
            cwd=directory,
            env=clean_environment() | dict(variables),
            capture_output=True,
            text=True,
            timeout=30,
        )

    def call(self, command: str, *arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
        """Call a command that came with one of the distributions."""
        return subprocess.run(
            [self.python.with_name(command), *arguments],
            cwd=directory,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=30,
        )

    def print(self, code: str, *, directory: Path) -> str:
        """What the program prints, when it ends well."""
        done = self.run(code, directory=directory)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def last_error(self, code: str, *, directory: Path) -> str:
        """The last line of the traceback with which the program ends."""
        done = self.run(code, directory=directory)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.strip().splitlines()[-1]


def clean_environment() -> dict[str, str]:
    """The environment without what would let this source tree, or this test run, shine through."""
    ours = ("PYTHON", "SPARK_", "PYTEST_", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
