"""Projects of plugin authors, rendered from the kit's templates."""

from __future__ import annotations

import tomllib
from pathlib import Path

from spark_testing.new.project import KINDS, Project, render
from tests.support.sites import Site

PROJECTS = {kind: Project(kind, "shelf" if kind == "backend" else f"my_{kind}") for kind in KINDS}
"""One of each kind."""


def make(kind: str, folder: Path) -> Path:
    """The project of this kind, in a new folder below that one."""
    project = PROJECTS[kind]
    target = folder / project.distribution
    render(project, target)
    return target


def install_from_source(project: Path) -> Path:
    """Make a project's sources a distribution, as an editable installation does; what to put on ``PYTHONPATH``."""
    with (project / "pyproject.toml").open("rb") as file:
        described = tomllib.load(file)["project"]
    [(name, module)] = described["entry-points"]["spark.graphs"].items()
    Site(project / "src").add_dist_info(described["name"], described["version"], f"[spark.graphs]\n{name} = {module}\n")
    return project / "src"
