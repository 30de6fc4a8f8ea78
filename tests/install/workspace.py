"""The distributions of the workspace, as its pyproject.toml files tell of them: what is added there is tested here."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]

CORE = "spark-graphs"


@dataclass(frozen=True)
class Member:
    """One distribution of the workspace."""

    folder: Path
    project: Mapping[str, Any]
    """The table ``[project]`` of its pyproject.toml."""

    @property
    def name(self) -> str:
        """What ``pip install`` takes."""
        return str(self.project["name"])

    @property
    def version(self) -> Version:
        return Version(self.project["version"])

    @property
    def package(self) -> str:
        """What ``import`` takes."""
        (package,) = [path.name for path in (self.folder / "src").iterdir() if (path / "__init__.py").exists()]
        return package

    @property
    def plugins(self) -> list[str]:
        """The names of its entry points for the core."""
        return sorted(self.project.get("entry-points", {}).get("spark.graphs", {}))

    @property
    def commands(self) -> list[str]:
        """What it adds to the command line."""
        return sorted(self.project.get("scripts", {}))

    @property
    def installed_with(self) -> set[str]:
        """The distributions of the workspace that are installed along with it, itself among them."""
        beside = {member.name: member for member in members()}
        needed = [beside[name] for text in self.project["dependencies"] if (name := Requirement(text).name) in beside]
        return {self.name}.union(*(member.installed_with for member in needed))

    @property
    def core_requirement(self) -> Requirement:
        """Which cores it runs on."""
        found = [Requirement(text) for text in self.project["dependencies"]]
        (requirement,) = [each for each in found if each.name == CORE]
        return requirement


@cache
def members() -> tuple[Member, ...]:
    """All of them, by folder."""
    patterns = _pyproject(ROOT)["tool"]["uv"]["workspace"]["members"]
    folders = sorted(folder for pattern in patterns for folder in ROOT.glob(pattern))
    return tuple(Member(folder, _pyproject(folder)["project"]) for folder in folders)


def core() -> Member:
    (core,) = [member for member in members() if member.name == CORE]
    return core


def plugins() -> list[Member]:
    """Everything but the core."""
    return [member for member in members() if member.name != CORE]


def extra_for(member: Member) -> str:
    """The extra of the core that installs this distribution as it is, and nothing else."""
    extras: dict[str, list[str]] = core().project["optional-dependencies"]
    (extra,) = [extra for extra, wanted in extras.items() if wanted == [member.name]]
    return extra


def _pyproject(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
