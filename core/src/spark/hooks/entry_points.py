"""Which plugins are installed, and which of them may be imported? Answered before any plugin is imported.

Besides plugins with hooks, distributions may bring commands for ``spark``, in a group of their own. Entry points are read with
``importlib-metadata``, so that a malformed file means the same on every version of Python.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import importlib_metadata as metadata

from spark.wording import did_you_mean

GROUP: Final = "spark.graphs"
"""Plugins with hooks."""
COMMANDS: Final = "spark.commands"
"""Commands of ``spark``. The core only says which are installed."""
UNKNOWN: Final = "unknown"

ALLOW: Final = "SPARK_PLUGINS"
BLOCK: Final = "SPARK_DISABLE_PLUGINS"


Key: TypeAlias = tuple[str, str]
"""A distribution, normalized, and the name of its entry point."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry point and the distribution that it comes from."""

    entry_point: metadata.EntryPoint
    distribution: str
    version: str
    flaw: str = ""
    """Why nothing can be loaded: the file that declares it is malformed; empty when it is not."""

    @property
    def name(self) -> str:
        """The name of the entry point."""
        return self.entry_point.name

    @property
    def names(self) -> set[str]:
        """The names by which the two lists of plugins may refer to it, normalized."""
        return {normalize(self.name), normalize(self.distribution)}

    @property
    def key(self) -> Key:
        """What tells it from all others."""
        return normalize(self.distribution), self.name

    def load(self) -> Any:
        """The module, or other object, that the entry point names; raises whatever its import raises."""
        return self.entry_point.load()


def find_candidates(group: str = GROUP) -> list[Candidate]:
    """Every entry point of a group once, by distribution and name, whatever else is wrong with what is installed."""
    found = {each.key: each for each in _candidates(group)}
    return [found[key] for key in sorted(found)]


def reason_to_block(candidate: Candidate, environ: Mapping[str, str] = os.environ) -> str:
    """Why the plugin must not be imported, and what to do about it; empty when it may be.

    Both lists are separated by commas and name entry points or distributions. Without an allow-list everything may be
    imported; with an empty one nothing. The block-list wins.
    """
    if reason := reason_not_to_use(candidate.names, environ):
        return reason
    if ALLOW in environ and not candidate.names & _listed(environ[ALLOW]):
        return f"{ALLOW}={environ[ALLOW]!r} does not list it. To use it, add {candidate.distribution!r} to that list."
    return ""


def reason_not_to_use(names: Set[str], environ: Mapping[str, str]) -> str:
    """Why a plugin with these names must not be used: the block-list names it; empty when it does not."""
    blocked = names & _listed(environ.get(BLOCK, ""))
    return f"{BLOCK} lists {min(blocked)!r}. To use it, remove it from that list." if blocked else ""


def unknown_names(installed: Set[str], environ: Mapping[str, str]) -> list[str]:
    """A sentence for each name in the two lists that no installed plugin has, with the nearest name that one has.

    Our own distributions may be listed even where they are not installed.
    """
    from spark.hooks.missing_plugin import our_plugins  # not needed by those who only look for commands

    known = installed | our_plugins()
    return [
        f"{variable} lists {name!r}, but no installed plugin has this name."
        + (did_you_mean(name, known) or f" Installed plugins: {', '.join(sorted(installed)) or 'none'}.")
        for variable in (ALLOW, BLOCK)
        for name in sorted(_listed(environ.get(variable, "")) - known)
    ]


def version_of(distribution: str) -> str:
    """The version of an installed distribution, or ``"unknown"``: an app that was packed may lack the metadata."""
    try:
        return _name_and_version(metadata.Distribution.from_name(distribution))[1]
    except metadata.PackageNotFoundError:
        return UNKNOWN


def normalize(name: str) -> str:
    """The name as pip compares it: ``Spark_Graphs`` is ``spark-graphs``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _listed(value: str) -> set[str]:
    return {normalize(name.strip()) for name in value.split(",") if name.strip()}


def _candidates(group: str) -> Iterator[Candidate]:
    for distribution in metadata.Distribution.discover():
        if _mentions(group, distribution):
            yield from _candidates_of(group, *_first_on_path(distribution))


def _candidates_of(group: str, distribution: metadata.Distribution, name: str, version: str) -> list[Candidate]:
    try:
        entry_points = list(distribution.entry_points.select(group=group))
    except Exception as error:
        flaw = f"Its entry_points.txt is malformed ({type(error).__name__}: {error}). Reinstall or upgrade {name}."
        return [Candidate(metadata.EntryPoint(name, "malformed", group), name, version, flaw)]
    return [Candidate(entry_point, name, version) for entry_point in entry_points]


def _mentions(group: str, distribution: metadata.Distribution) -> bool:
    # Asked first, so that the malformed file of any other project does no harm, and costs no time.
    try:
        return f"[{group}]" in (distribution.read_text("entry_points.txt") or "")
    except UnicodeDecodeError as error:
        return f"[{group}]".encode() in error.object
    except OSError:
        return False


def _first_on_path(distribution: metadata.Distribution) -> tuple[metadata.Distribution, str, str]:
    """The one that an import would find, with its name and version: one may be there twice, editable and installed."""
    name, version = _name_and_version(distribution)
    try:
        first: metadata.Distribution = metadata.Distribution.from_name(name)
    except metadata.PackageNotFoundError:
        return distribution, name, version
    return first, *_name_and_version(first)


def _name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    try:
        fields = distribution.metadata  # parsed anew each time that it is asked for
        return fields["Name"] or UNKNOWN, fields["Version"] or UNKNOWN
    except Exception:  # a distribution without METADATA: releases of the library before 9 raise various errors
        return UNKNOWN, UNKNOWN
