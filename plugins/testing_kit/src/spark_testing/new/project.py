"""A project of an author's own: the skeleton that all kinds share, and the template of one kind, under another name.

Both are working code whose name is ``example``. A template is a folder: what is built and tested is in ``plugin.py``, in a module
named for the kind and in ``test_example.py``; the first line of its README is the summary, and the rest says how to choose it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from spark_testing.new.names import reason_against

_TEMPLATES: Final = Path(__file__).with_name("templates")
_SKELETON: Final = Path(__file__).with_name("skeleton")

KINDS: Final = tuple(sorted(folder.name for folder in _TEMPLATES.iterdir() if (folder / "plugin.py").exists()))
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
    for source in _sources(_SKELETON):
        yield _renamed(source.relative_to(_SKELETON).as_posix(), words), _renamed(_text(source), words)
    for source in _sources(_TEMPLATES / project.kind):
        if source.suffix == ".py":
            folder = "tests" if source.name.startswith("test_") else f"src/{project.package}"
            yield f"{folder}/{_renamed(source.name, words)}", _renamed(_text(source), words)
    yield "LICENSE", _license()


def _words(project: Project) -> Mapping[str, str]:
    """What stands for what in the skeleton and the template; longer words first."""
    names = {"Example": project.class_name, "EXAMPLE": project.name.upper(), "example": project.name}
    summary, _, usage = _renamed(_text(_TEMPLATES / project.kind / "README.md"), names).partition("\n")
    return {
        "spark-graphs-KIND-example": project.distribution,
        "SUMMARY": summary,
        "USAGE": usage.strip(),
        "KIND": project.kind,
        **names,
    }


def _renamed(text: str, words: Mapping[str, str]) -> str:
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)


def _sources(folder: Path) -> list[Path]:
    # What pip compiles at installation is left behind.
    return sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _license() -> str:
    """That of the kit, as it was installed."""
    return distribution("spark-graphs-testing-kit").read_text("licenses/LICENSE") or ""
