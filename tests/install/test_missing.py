"""What is not installed is asked for by name, and installing what the error says makes the same program work."""

from __future__ import annotations

import re
import shlex
from itertools import groupby
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from spark.hooks.missing_plugin import extras
from tests.install.programs import SAVED_ONCE
from tests.install.test_alone import look
from tests.install.wheels import Environment, Workshop
from tests.install.workspace import CORE, core


def told_to_install(error: str) -> str:
    """What the command at the end of an error installs."""
    found = re.search(r"To get it: (pip install '[^']+')$", error)
    assert found, error
    pip, install, wanted = shlex.split(found[1])
    assert (pip, install) == ("pip", "install")
    return wanted


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        ('"file://" + os.path.abspath("checkpoints")', "file"),
        ('checkpoint.DatabaseCheckpointBackend(connection_string="sqlite:///runs.db")', "sql"),
    ],
)
def test_a_program_works_once_what_its_error_says_is_installed(
    workshop: Workshop, tmp_path: Path, backend: str, name: str
) -> None:
    environment = workshop.install_afresh(tmp_path / "environment", CORE)
    program = SAVED_ONCE.replace("BACKEND", backend)

    error = environment.last_error(program, directory=tmp_path)
    workshop.add(environment, told_to_install(error))

    assert environment.print(program, directory=tmp_path) == f"{name}\n"


@pytest.fixture
def claims(with_all: Environment, tmp_path: Path) -> dict[str, list[list[str]]]:
    """Every URL scheme, class and format that a distribution of ours brings."""
    return {name: claims for name, claims in look(with_all, tmp_path).claims.items() if name != CORE}


@pytest.mark.thorough
def test_the_absence_of_whatever_a_plugin_claims_says_how_to_get_it(
    core_only: Environment, tmp_path: Path, claims: dict[str, list[list[str]]]
) -> None:
    extras = core().project["optional-dependencies"]

    for distribution, missing in claims.items():
        errors = [error for _, _, error in look(core_only, tmp_path, claims=missing).found]
        wanted = {extra for error in errors for extra in Requirement(told_to_install(error)).extras}
        assert {Requirement(each).name for extra in wanted for each in extras[extra]} == {distribution}


@pytest.mark.thorough
def test_what_an_error_says_to_install_brings_what_was_missing(
    workshop: Workshop, core_only: Environment, tmp_path: Path, claims: dict[str, list[list[str]]]
) -> None:
    missing = [claim for of_one in claims.values() for claim in of_one]

    told = [
        (told_to_install(error), kind, name) for kind, name, error in look(core_only, tmp_path, claims=missing).found
    ]

    assert len(told) == len(missing)
    for wanted, of_it in groupby(sorted(told), key=lambda each: each[0]):
        found = look(workshop.install(wanted), tmp_path, claims=[[kind, name] for _, kind, name in of_it]).found
        assert [each for each in found if "Error: " in each[2]] == []


def test_no_error_speaks_of_an_extra_that_the_core_does_not_have() -> None:
    """pip would warn, and install nothing."""
    assert {extra.name for extra in extras().values()} <= set(core().project["optional-dependencies"])


def test_the_extra_all_is_all_that_runs_graphs() -> None:
    """The kit is for people who test plugins, and Ray takes 215 MB, so they name these."""
    (everything,) = core().project["optional-dependencies"]["all"]

    extras = set(re.findall(r"\w+", everything.partition("[")[2]))
    assert extras == set(core().project["optional-dependencies"]) - {"all", "ray", "testing"}
