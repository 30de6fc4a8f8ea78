"""Which cores the other distributions say they run on: those that they are tested with, and no other is let near them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from spark_testing.new.project import Project, render
from tests.install.wheels import Wheel, Workshop
from tests.install.workspace import CORE, Member, core, plugins

each_plugin = pytest.mark.parametrize("member", plugins(), ids=lambda member: member.name)

NEWER_THAN_THE_CORE = """
import warnings
warnings.simplefilter("default")
from spark.errors import PluginError
from spark.graphs.checkpoint import backend_class
from spark.hooks import plugins

print(backend_class("file").__name__)
try:
    backend_class("shelf")
except PluginError as error:
    print(f"{type(error).__name__}: {error}")
"""


@each_plugin
def test_the_oldest_core_that_a_plugin_takes_is_one_that_it_is_tested_with(member: Member) -> None:
    """Here it meets the core beside it, and no other. Whoever wants it to take an older one has to test it with that."""
    oldest = [Version(each.version) for each in member.core_requirement.specifier if each.operator == ">="]

    assert oldest == [core().version]


@each_plugin
def test_a_plugin_does_not_take_the_next_core_that_may_break_it(member: Member) -> None:
    """The next minor version, before 1.0; from then on the next major one."""
    major, minor = core().version.major, core().version.minor
    following = Version(f"0.{minor + 1}") if major == 0 else Version(f"{major + 1}")
    limits = [Version(each.version) for each in member.core_requirement.specifier if each.operator == "<"]

    assert limits == [following]


@pytest.mark.parametrize("version", ["0.0.1", "99.0"])
def test_a_core_that_does_not_fit_is_not_installed_beside_a_plugin(
    workshop: Workshop, wheels: dict[str, Wheel], tmp_path: Path, version: str
) -> None:
    environment = workshop.install_afresh(tmp_path / "environment", CORE)
    other = other_core(workshop, tmp_path, version)

    tried = [(member, workshop.try_to_add(environment, other, wheels[member.name])) for member in plugins()]

    assert environment.distributions() == {CORE}
    for member, done in tried:
        refused = re.search(rf"{member.name}==\S+ depends on {CORE}([<>=.,\d]+),", " ".join(done.stderr.split()))
        assert refused, done.stderr
        assert SpecifierSet(refused[1]) == member.core_requirement.specifier


def test_a_plugin_for_a_later_contract_is_skipped_and_named_and_the_others_go_on(
    workshop: Workshop, tmp_path: Path
) -> None:
    """For what a requirement can't say: a plugin that takes this core, and is written against a contract it does not speak."""
    project = tmp_path / "later" / "spark-graphs-backend-shelf"
    render(Project("backend", "shelf"), project)
    described = project / "src" / "spark_backend_shelf" / "plugin.py"
    described.write_text(described.read_text().replace("api_version=1", "api_version=2"))
    environment = workshop.install(f"{CORE}[file]", workshop.build_one(project, name="shelf-later"))

    done = environment.run(NEWER_THAN_THE_CORE, directory=tmp_path)

    skipped = (
        "The backend 'shelf' of the plugin 'shelf' of spark-graphs-backend-shelf 0.1.0 is skipped. It is written for version 2 "
        "of the plugin API, but this spark-graphs supports version 1. Upgrade spark-graphs."
    )
    assert done.stdout.splitlines() == [
        "FileCheckpointBackend",
        f"PluginBrokenError: The backend 'shelf' can't be used: t{skipped[1:]}",
    ]
    assert f"PluginWarning: {skipped}" in done.stderr


def other_core(workshop: Workshop, tmp_path: Path, version: str) -> Wheel:
    """The core as it is, under another version."""
    project = tmp_path / "core"
    shutil.copytree(core().folder, project, ignore=shutil.ignore_patterns("__pycache__"))
    file = project / "pyproject.toml"
    file.write_text(re.sub(r'^version = ".*"$', f'version = "{version}"', file.read_text(), flags=re.MULTILINE))
    return workshop.build_one(project, name=f"core-{version}")
