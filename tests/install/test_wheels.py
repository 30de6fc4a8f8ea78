"""What `make wheels` builds, and what is in it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from tests.install.wheels import Wheel, Workshop
from tests.install.workspace import ROOT, Member, members

each_member = pytest.mark.parametrize("member", members(), ids=lambda member: member.name)


def test_make_wheels_builds_a_wheel_and_an_sdist_of_every_member_of_the_workspace(workshop: Workshop) -> None:
    """And of nothing else: neither of the workspace itself, nor of the template that authors copy."""
    built = workshop.distributions()
    wheels = [parse_wheel_filename(path.name)[:2] for path in built.glob("*.whl")]
    sdists = [parse_sdist_filename(path.name) for path in built.glob("*.tar.gz")]

    assert sorted(wheels) == sorted((member.name, member.version) for member in members())
    assert sorted(sdists) == sorted(wheels)


def test_every_distribution_among_the_plugins_is_a_member_of_the_workspace() -> None:
    """Or it would be neither built nor tested here."""
    folders = {path.parent for path in ROOT.glob("plugins/*/pyproject.toml")}

    assert folders == {member.folder for member in members()} - {ROOT / "core"}


@each_member
def test_names_follow_the_one_rule(member: Member) -> None:
    """``plugins/backend_file`` holds ``spark_backend_file`` in ``spark-graphs-backend-file``; the kit is ``spark_testing``."""
    folder = member.folder.name
    if folder == "core":
        assert (member.package, member.name) == ("spark", "spark-graphs")
    else:
        assert member.package == f"spark_{folder.removesuffix('_kit')}"
        assert member.name == f"spark-graphs-{folder.replace('_', '-')}"


@each_member
def test_an_sdist_holds_the_sources_and_nothing_that_lies_about(workshop: Workshop, member: Member) -> None:
    """Tests and tools stay in the repository; a wheel can be built from what is left, as `make wheels` does."""
    (path,) = workshop.distributions().glob(f"{member.name.replace('-', '_')}-{member.version}.tar.gz")
    with tarfile.open(path) as archive:
        inside = [Path(*Path(name).parts[1:]) for name in archive.getnames()]

    assert {file.parts[0] for file in inside} == {
        ".gitignore",
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        "src",
    }
    sources = [
        file for file in inside if file.parts[0] == "src" and file.parts[2] != "new"
    ]  # the skeleton of new projects
    assert {file.suffix for file in sources} <= {".py", ".typed", ".json", ".html", ".css", ".js", ".svg"}


@each_member
def test_a_wheel_holds_its_package_and_nothing_beside_it(wheels: dict[str, Wheel], member: Member) -> None:
    """A stray top-level name would be imported in somebody's program."""
    top = {name.split("/")[0] for name in wheels[member.name].names}

    assert {name for name in top if not name.endswith(".dist-info")} == {member.package}


@each_member
def test_type_checkers_are_told_that_a_package_is_typed(wheels: dict[str, Wheel], member: Member) -> None:
    assert f"{member.package}/py.typed" in wheels[member.name].names


@each_member
def test_a_wheel_carries_the_licence(wheels: dict[str, Wheel], member: Member) -> None:
    """A copy lies beside each pyproject.toml, because a build sees nothing above it; the copies must not drift."""
    wheel = wheels[member.name]
    (licence,) = [name for name in wheel.names if name.endswith(".dist-info/licenses/LICENSE")]

    assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert wheel.metadata["License-Expression"] == "Apache-2.0"


@each_member
def test_a_wheel_describes_itself(wheels: dict[str, Wheel], member: Member) -> None:
    metadata = wheels[member.name].metadata
    description = str(metadata.get_payload())

    assert description.startswith(f"# {member.name}\n")
    assert len(description.split()) > 60
    assert "pip install 'spark-graphs[" in description
    assert metadata["Summary"]
    assert metadata["Requires-Python"] == ">=3.11"


@each_member
def test_a_description_links_to_nothing_that_is_not_where_it_is_shown(wheels: dict[str, Wheel], member: Member) -> None:
    """A package index shows the README alone, so a relative link leads nowhere."""
    description = str(wheels[member.name].metadata.get_payload())

    assert all(target.startswith("https://") for target in _links(description))


def _links(markdown: str) -> list[str]:
    return [part.split(")")[0] for part in markdown.split("](")[1:]]


def test_the_readme_of_the_core_names_every_extra(wheels: dict[str, Wheel]) -> None:
    """It is what a package index shows to somebody who looks for a backend."""
    metadata = wheels["spark-graphs"].metadata

    description = str(metadata.get_payload())
    assert [
        extra for extra in metadata.get_all("Provides-Extra", []) if f"spark-graphs[{extra}]" not in description
    ] == []
