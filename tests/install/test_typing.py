"""What type checkers tell users who check their own code strictly, with the wheels installed: mypy and pyright.

The users' code is in ``typed/``. It asserts the types that a user expects, where ``Any`` fails like any other wrong one. Pyright
is run as basedpyright, which brings what it needs to run.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spark_testing.new.project import KINDS
from tests.install.wheels import Environment, Workshop, clean_environment
from tests.install.workspace import ROOT, Member, members
from tests.spec.page import blocks
from tests.support.projects import PROJECTS, make

TYPED = Path(__file__).parent / "typed"
PROGRAM, BACKENDS, MISTAKES = "program.py", "backends.py", "mistakes.py"

CACHE = ROOT / ".mypy_cache" / "users"
PYRIGHT = "basedpyright>=1.40"
Errors = dict[str, dict[int, list[str]]]
"""By file and line."""


def users_code(directory: Path, *files: str) -> list[str]:
    """These files where no source tree is."""
    for file in files:
        shutil.copy(TYPED / file, directory / file)
    return list(files)


def mypy(environment: Environment, directory: Path, *files: str) -> Errors:
    # Not the source tree's cache. This one mypy asks about files whose content it knows, from run to run; the tests that
    # use it are few, and mypy lets several at once.
    options = ["--strict", "--no-error-summary", "--cache-dir", str(CACHE)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--python-executable", environment.python, *files],
        cwd=directory,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert not done.stderr
    found = re.findall(r"^(.+?):(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    return by_line((file, int(line), message) for file, line, message in found)


def pyright(workshop: Workshop, environment: Environment, directory: Path) -> Errors:
    """What it says about everything in the directory, with the settings that docs/graphs.md recommends."""
    (settings,) = [block.code for block in blocks(ROOT / "docs" / "graphs.md") if block.language == "toml"]
    (directory / "pyproject.toml").write_text(settings)
    report = basedpyright(workshop, environment, directory)
    found = [each for each in report["generalDiagnostics"] if each["severity"] == "error"]
    places = [(Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"]) for each in found]
    assert report["summary"]["filesAnalyzed"] >= len(list(directory.glob("*.py")))
    return by_line(places)


def basedpyright(workshop: Workshop, environment: Environment, directory: Path, *options: str) -> Any:
    checkers = workshop.install(PYRIGHT)
    # It finds the environment by its Python on the path.
    path = f"{environment.python.parent}:{clean_environment()['PATH']}"
    command = str(checkers.python.with_name("basedpyright"))
    done = subprocess.run(
        [command, "--outputjson", *options],
        cwd=directory,
        env=clean_environment() | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=200,
    )
    return json.loads(done.stdout)


def by_line(found: Any) -> Errors:
    errors: Errors = {}
    for file, line, message in found:
        errors.setdefault(file, {}).setdefault(line, []).append(message)
    return errors


def marked_lines() -> set[int]:
    lines = (TYPED / MISTAKES).read_text().splitlines()
    return {number for number, line in enumerate(lines, start=1) if "# mistake: " in line}


def check_that_mistakes_and_nothing_else_is_found(errors: Errors) -> None:
    assert errors.keys() == {MISTAKES}, errors
    assert set(errors[MISTAKES]) == marked_lines()


def test_mypy_finds_the_mistakes_of_a_user_and_nothing_else(with_all: Environment, tmp_path: Path) -> None:
    errors = mypy(with_all, tmp_path, *users_code(tmp_path, PROGRAM, BACKENDS, MISTAKES))

    check_that_mistakes_and_nothing_else_is_found(errors)


@pytest.mark.thorough
def test_mypy_needs_no_plugin(core_only: Environment, tmp_path: Path) -> None:
    errors = mypy(core_only, tmp_path, *users_code(tmp_path, PROGRAM, MISTAKES))

    check_that_mistakes_and_nothing_else_is_found(errors)


def test_pyright_finds_the_mistakes_of_a_user_and_nothing_else(
    workshop: Workshop, with_all: Environment, tmp_path: Path
) -> None:
    users_code(tmp_path, PROGRAM, BACKENDS, MISTAKES)

    check_that_mistakes_and_nothing_else_is_found(pyright(workshop, with_all, tmp_path))


@pytest.mark.thorough
def test_pyright_needs_no_plugin_and_names_the_class_of_one_that_is_not_there(
    workshop: Workshop, core_only: Environment, tmp_path: Path
) -> None:
    users_code(tmp_path, PROGRAM, BACKENDS, MISTAKES)

    errors = pyright(workshop, core_only, tmp_path)

    missing = [message for messages in errors.pop(BACKENDS).values() for message in messages]
    assert any('"FileCheckpointBackend" is unknown' in message for message in missing)
    check_that_mistakes_and_nothing_else_is_found(errors)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_made_from_a_template_passes_both(workshop: Workshop, tmp_path: Path, kind: str) -> None:
    """A plugin author's code: a subclass of what the core declares, and the module that announces it."""
    environment = workshop.install("spark-graphs[all,testing]")
    sources = make(kind, tmp_path) / "src"
    package = PROJECTS[kind].package

    assert mypy(environment, sources, "-p", package) == {}
    assert pyright(workshop, environment, sources / package) == {}


@pytest.mark.parametrize("member", members(), ids=lambda member: member.name)
def test_no_public_type_is_unknown_or_left_to_inference(workshop: Workshop, tmp_path: Path, member: Member) -> None:
    """What checkers infer, each infers in its own way; what is public is declared."""
    extra = ",ray" if member.package == "spark_executor_ray" else ""  # which is not among all
    environment = workshop.install(f"spark-graphs[all,testing{extra}]")
    options = ("--verifytypes", member.package, "--ignoreexternal")

    report = basedpyright(workshop, environment, tmp_path, *options)["typeCompleteness"]

    assert report["pyTypedPath"]
    assert report["exportedSymbolCounts"]["withUnknownType"] == 0
    public = public_names(environment, member.package, tmp_path)
    inferred = [
        symbol["name"]
        for symbol in report["symbols"]
        for diagnostic in symbol["diagnostics"]
        if "type annotation" in diagnostic["message"] and symbol["name"].startswith(public)
    ]
    assert inferred == []


def public_names(environment: Environment, package: str, directory: Path) -> tuple[str, ...]:
    """Where the names that a package exports, or its packages, are defined, each with a dot at its end."""
    printed = environment.print(
        f"""
import importlib, json, pkgutil, {package} as root
modules = [root, *(importlib.import_module(m.name) for m in pkgutil.walk_packages(root.__path__, "{package}.") if m.ispkg)]
exported = [getattr(module, name) for module in modules for name in getattr(module, "__all__", [])]
print(json.dumps([f"{{each.__module__}}.{{each.__qualname__}}." for each in exported if hasattr(each, "__qualname__")]))
""",
        directory=directory,
    )
    return tuple(json.loads(printed))
