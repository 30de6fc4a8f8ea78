"""What of the core and of all installed plugins belongs into an app: modules, files beside them, and metadata.

A plugin needs no hook of its own: its entry point says where it is, and its specs say what is imported by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from spark.hooks.discovery import plugins
from spark.hooks.entry_points import find_candidates

_IMPORTED_BY_NAME: Final = ("backports.zstd", "compression.zstd")
"""What the core imports by name, wherever it is installed."""
_HOOKS: Final = "_pyinstaller"
"""The folder of a package that only PyInstaller reads."""
_ENDINGS: Final = (".py", *EXTENSION_SUFFIXES)


def distributions() -> list[str]:
    """The distributions whose metadata an app needs, so that their entry points are found in it."""
    return sorted({plugin.distribution for plugin in plugins() if plugin.takes_part})


def modules() -> list[str]:
    """Every module of the packages that plugins and their targets are in."""
    inside = {module for package in _packages() for module, _ in _modules_in(package)}
    return sorted({*inside, *_IMPORTED_BY_NAME})


def data_files() -> list[tuple[str, str]]:
    """The files beside these modules, each with its folder in the app."""
    return sorted(each for package in _packages() for each in _data_in(package))


def _packages() -> Iterable[ModuleSpec]:
    return {package.name: package for module in _starting_points() if (package := _outermost(module))}.values()


def _starting_points() -> Iterator[str]:
    """The modules that entry points and specs name."""
    loaded = {(plugin.distribution, plugin.name) for plugin in plugins() if plugin.takes_part}
    for candidate in find_candidates():
        if (candidate.distribution, candidate.name) in loaded:
            yield candidate.entry_point.module
    for plugin in plugins():
        for spec in plugin.specs:
            yield from (path.partition(":")[0] for path in (spec.target, spec.options) if path)


def _outermost(module: str) -> ModuleSpec | None:
    """The top-level package or module that it is part of; below a namespace, which others share, the first one."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        package = find_spec(".".join(parts[:depth]))
        if package is None or package.origin is not None:
            return package
    return None


def _modules_in(package: ModuleSpec) -> Iterator[tuple[str, Path]]:
    """Each module by its full name, with its file."""
    yield package.name, Path(package.origin or "")
    for folder in package.submodule_search_locations or ():
        for file in Path(folder).rglob("*"):
            ending = next((each for each in _ENDINGS if file.name.endswith(each)), "")
            parts = (*file.relative_to(folder).parts[:-1], file.name.removesuffix(ending))
            if ending and all(part.isidentifier() for part in parts) and _HOOKS not in parts:
                yield ".".join((package.name, *parts)).removesuffix(".__init__"), file


def _data_in(package: ModuleSpec) -> Iterator[tuple[str, str]]:
    for folder in package.submodule_search_locations or ():
        for file in Path(folder).rglob("*"):
            if file.is_file() and not file.name.endswith((".pyc", *_ENDINGS)):
                place = Path(*package.name.split("."), file.relative_to(folder).parent)
                yield str(file), str(place)
