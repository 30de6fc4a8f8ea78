"""A project of an author's own: the skeleton that all kinds share, and the template of one kind, under another name.

Both are working code whose name is ``example``. A template is a folder: what is built and tested is in ``plugin.py``, in a module
named for the kind and in ``test_example.py``; the first line of its README is the summary, and the rest says how to choose it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from spark_testing.new.names import reason_against

_TEMPLATES: Final = files("spark_testing.new") / "templates"
_SKELETON: Final = files("spark_testing.new") / "skeleton"

KINDS: Final = tuple(sorted(folder.name for folder in _TEMPLATES.iterdir() if (folder / "plugin.py").is_file()))
"""What can be made."""


@dataclass(frozen=True)
class Project:
    """What a new plugin is called, wherever it has a name."""

    kind: str
    """One of ``KINDS``."""
    name: str
    """What users choose it by: lower case letters, digits and underscores."""

    @property
    def distribution(self) -> str:
        """What ``pip install`` takes."""
        return f"spark-graphs-{self.kind}-{self.name.replace('_', '-')}"

    @property
    def package(self) -> str:
        """What ``import`` takes."""
        return f"spark_{self.kind}_{self.name}"

    @property
    def class_name(self) -> str:
        """How its classes begin."""
        return "".join(part.capitalize() for part in self.name.split("_"))


def render(project: Project, target: Path) -> list[Path]:
    """Write the project to a new directory; the files that it wrote.

    :raises ValueError: the name can't be used, or is taken; says why.
    :raises FileExistsError: there is something at the target.
    """
    if reason := reason_against(project.kind, project.name, package=project.package):
        raise ValueError(reason)
    target.mkdir(parents=True)
    written = []
    for place, text in _files(project):
        file = target / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        written.append(file)
    return written


def _files(project: Project) -> Iterator[tuple[str, str]]:
    """Where each file of the project is, and what is in it."""
    words = _words(project)
    for place, text in _texts(_SKELETON):
        yield _renamed(place, words), _renamed(text, words)
    for place, text in _texts(_TEMPLATES / project.kind):
        if place.endswith(".py"):
            folder = "tests" if place.startswith("test_") else f"src/{project.package}"
            yield f"{folder}/{_renamed(place, words)}", _renamed(text, words)
    yield "LICENSE", _license()


def _words(project: Project) -> Mapping[str, str]:
    """What stands for what in the skeleton and the template; longer words first."""
    names = {"Example": project.class_name, "EXAMPLE": project.name.upper(), "example": project.name}
    summary, _, usage = _renamed(dict(_texts(_TEMPLATES / project.kind))["README.md"], names).partition("\n")
    return {
        "spark-graphs-KIND-example": project.distribution,
        "SUMMARY": summary,
        "USAGE": usage.strip(),
        "KIND": project.kind,
        **names,
    }


def _renamed(text: str, words: Mapping[str, str]) -> str:
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)


def _texts(folder: Traversable, *, place: str = "") -> Iterator[tuple[str, str]]:
    """Where each file in the folder is, and what is in it; the kit may be in a zip file."""
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.is_file():
            yield f"{place}{each.name}", each.read_text(encoding="utf-8")
        elif each.name != "__pycache__":  # what pip compiles at installation
            yield from _texts(each, place=f"{place}{each.name}/")


def _license() -> str:
    """That of the kit, as it was installed."""
    return distribution("spark-graphs-testing-kit").read_text("licenses/LICENSE") or ""
