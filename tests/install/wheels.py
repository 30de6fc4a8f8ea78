"""The project's distributions as a user gets them: built into wheels, installed into environments of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from functools import cached_property
from pathlib import Path

import pytest

from tests.install.once import made_once
from tests.install.workspace import ROOT


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
    """Builds wheels and environments in one directory, each of them once, however many test processes want it."""

    uv: str
    directory: Path

    def build(self) -> dict[str, Wheel]:
        """The wheel of every distribution, by its name, as ``make wheels`` builds it."""
        folder = self.distributions()
        wheels = [Wheel(path) for path in folder.glob("*.whl")]
        return {wheel.metadata["Name"]: wheel for wheel in wheels}

    def distributions(self) -> Path:
        """The folder into which ``make wheels`` has built everything."""
        return made_once(self.directory / "dist", self._make_wheels)

    def build_one(self, project: Path, *, name: str) -> Wheel:
        """The wheel of a project that does not belong to the workspace.

        :param name: of what is built, by which the test processes know it.
        """
        folder = made_once(self.directory / "others" / name, lambda folder: self._build(project, folder))
        (path,) = folder.glob("*.whl")
        return Wheel(path)

    def install(self, *wanted: str | Wheel) -> Environment:
        """An environment in which somebody did ``pip install`` of these; the tests share it, so that none may change it.

        :param wanted: what pip takes, such as ``spark-graphs[file]``; our distributions come from the wheels of ``build``.
        """
        folder = made_once(
            self.directory / "environments" / _name_of(*wanted),
            lambda folder: self._make_environment(folder, *wanted),
        )
        return Environment(folder / "bin" / "python")

    def install_core(self) -> Environment:
        """An environment with the core alone, for which no other wheel is built."""
        core = self.build_one(ROOT / "core", name="core")
        folder = made_once(self.directory / "environments" / "core", lambda folder: self._make_core(folder, core))
        return Environment(folder / "bin" / "python")

    def install_afresh(self, folder: Path, *wanted: str | Wheel) -> Environment:
        """The same in that folder, for a test that goes on to change it."""
        self._make_environment(folder, *wanted)
        return Environment(folder / "bin" / "python")

    def freeze(self, program: Path, *wanted: str | Wheel) -> Path:
        """The program as an app, which PyInstaller builds where these are installed; skips the test where it can't be had."""
        if sys.platform == "linux" and not sysconfig.get_config_var("Py_ENABLE_SHARED"):
            pytest.skip("PyInstaller needs a Python that was built with --enable-shared")
        folder = self.directory / "apps" / _name_of(*wanted)
        return made_once(folder, lambda folder: self._make_app(folder, program, *wanted)) / "dist" / "app" / "app"

    def add(self, environment: Environment, *wanted: str | Wheel) -> None:
        """``pip install`` of these into the environment.

        :raises AssertionError: they do not go together.
        """
        done = self.try_to_add(environment, *wanted)
        assert done.returncode == 0, done.stderr

    def try_to_add(self, environment: Environment, *wanted: str | Wheel) -> subprocess.CompletedProcess[str]:
        """What becomes of ``pip install`` of these into the environment."""
        given = {each.metadata["Name"] for each in wanted if isinstance(each, Wheel)}
        ours = [f"{name} @ {wheel.path.as_uri()}\n" for name, wheel in self.build().items() if name not in given]
        constraints = environment.python.parents[1] / "constraints.txt"
        constraints.write_text("".join(ours))
        return self._pip(environment, "--constraint", str(constraints), *(_requirement(each) for each in wanted))

    def _pip(self, environment: Environment, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["pip", "install", "--python", str(environment.python), *arguments]
        # What `make` has once installed is in the cache of uv, which answers at once; an index is asked for what is not.
        offline = self._run(*command, "--offline")
        return self._run(*command) if "network was disabled" in offline.stderr else offline

    def _make_environment(self, folder: Path, *wanted: str | Wheel) -> None:
        self.add(self._empty(folder), *wanted)

    def _make_core(self, folder: Path, core: Wheel) -> None:
        done = self._pip(self._empty(folder), str(core.path))
        assert done.returncode == 0, done.stderr

    def _empty(self, folder: Path) -> Environment:
        self._do("venv", "--clear", "--python", sys.executable, str(folder))
        return Environment(folder / "bin" / "python")

    def _make_app(self, folder: Path, program: Path, *wanted: str | Wheel) -> None:
        environment = self.install_afresh(folder / "environment", *wanted)
        added = self.try_to_add(environment, "pyinstaller>=6.10")
        if added.returncode:
            pytest.skip(f"PyInstaller can't be installed: {added.stderr}")
        options = ("--onedir", "--name", "app", str(program))
        done = environment.python_with("-m", "PyInstaller", *options, directory=folder, seconds=500)
        assert done.returncode == 0, done.stderr

    def _build(self, project: Path, folder: Path) -> None:
        self._do("build", "--wheel", "--out-dir", str(folder), str(project))

    def _make_wheels(self, folder: Path) -> None:
        command = ["make", "wheels", f"DIST={folder}", f"UV={self.uv}", f"UV_PYTHON={sys.executable}"]
        done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def _do(self, *arguments: str) -> None:
        done = self._run(*arguments)
        assert done.returncode == 0, f"uv {' '.join(arguments)} failed:\n{done.stderr}"

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # In the root, where uv reads the project's settings, such as the date of the newest release to use.
        return subprocess.run([self.uv, *arguments], cwd=ROOT, env=clean_environment(), capture_output=True, text=True)


def _name_of(*wanted: str | Wheel) -> str:
    parts = [each.path.parent.name if isinstance(each, Wheel) else each for each in wanted]
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts))


def _requirement(wanted: str | Wheel) -> str:
    return str(wanted.path) if isinstance(wanted, Wheel) else wanted


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
        return self.python_with("-W", "error", str(program), directory=directory, variables=variables)

    def python_with(
        self, *arguments: str, directory: Path, variables: Iterable[tuple[str, str]] = (), seconds: float = 200
    ) -> subprocess.CompletedProcess[str]:
        """Start the environment's Python with these arguments."""
        return _run(self.python, *arguments, directory=directory, variables=variables, seconds=seconds)

    def call(self, command: str, *arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
        """Call a command that came with one of the distributions."""
        return _run(self.python.with_name(command), *arguments, directory=directory)

    def distributions(self) -> set[str]:
        """Those of ours that are installed."""
        metadata = self.python.parents[1].glob("lib/python*/site-packages/spark_graphs*.dist-info")
        return {path.name.partition("-")[0].replace("_", "-") for path in metadata}

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


def _run(
    program: Path, *arguments: str, directory: Path, variables: Iterable[tuple[str, str]] = (), seconds: float = 200
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        cwd=directory,
        env=clean_environment() | dict(variables),
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def clean_environment() -> dict[str, str]:
    """The environment without what would let this source tree, or this test run, shine through."""
    ours = ("PYTHON", "SPARK_", "PYTEST_", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "MAKE", "MFLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
