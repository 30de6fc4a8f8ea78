"""Which plugins are installed: the entry points of the group ``spark.graphs``, nothing imported yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

GROUP: Final = "spark.graphs"
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry point and the distribution that it comes from."""

    entry_point: metadata.EntryPoint
    distribution: str
    version: str
    flaw: str = ""
    """What is wrong with the file that declares it, which nothing can be loaded by; empty when nothing is."""

    @property
    def name(self) -> str:
        """The name of the entry point."""
        return self.entry_point.name

    def load(self) -> Any:
        """The module, or other object, that the entry point names; raises whatever its import raises."""
        return self.entry_point.load()


def find_candidates() -> list[Candidate]:
    """Every installed plugin once, by distribution and name, whatever else is wrong with what is installed."""
    found = {(normalize(each.distribution), each.name): each for each in _candidates()}
    return [found[key] for key in sorted(found)]


def normalize(name: str) -> str:
    """The name as pip compares it: ``Spark_Graphs`` is ``spark-graphs``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _candidates() -> Iterator[Candidate]:
    for found in metadata.distributions():
        if _mentions_group(found):
            yield from _candidates_of(_first_on_path(found))


def _candidates_of(distribution: metadata.Distribution) -> list[Candidate]:
    name, version = _name_of(distribution), _version_of(distribution)
    try:
        entry_points = list(distribution.entry_points.select(group=GROUP))
    except Exception as error:  # a malformed file: which error it is differs between releases of Python
        flaw = f"Its entry_points.txt is malformed ({type(error).__name__}: {error}). Reinstall or upgrade {name}."
        return [Candidate(metadata.EntryPoint(name, "malformed", GROUP), name, version, flaw)]
    return [Candidate(entry_point, name, version) for entry_point in entry_points]


def _mentions_group(distribution: metadata.Distribution) -> bool:
    # Asked first, so that the malformed file of any other project is none of our concern.
    try:
        return f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    except UnicodeDecodeError as error:
        return f"[{GROUP}]".encode() in error.object
    except OSError:
        return False


def _first_on_path(distribution: metadata.Distribution) -> metadata.Distribution:
    """The one that an import would find, when a distribution is on the path twice: editable and installed, say."""
    try:
        return metadata.distribution(_name_of(distribution))
    except (metadata.PackageNotFoundError, ValueError):
        return distribution


def _name_of(distribution: metadata.Distribution) -> str:
    return _field(distribution, "Name")


def _version_of(distribution: metadata.Distribution) -> str:
    return _field(distribution, "Version")


def _field(distribution: metadata.Distribution, field: str) -> str:
    try:
        return str(distribution.metadata[field] or UNKNOWN)
    except Exception:  # a distribution without METADATA: Python 3.15 raises a new error, earlier ones various
        return UNKNOWN
