"""What should an entry point name instead of this? Said with the line to write into pyproject.toml."""

from __future__ import annotations

import inspect
import pkgutil
import sys
from typing import TYPE_CHECKING, Any

from spark.hooks.specs import PROVIDING
from spark.wording import nearest

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint


def instead_of(named: Any) -> str:
    """What to register instead of something without hooks: the module of a package, or the one of this name; empty if unknown."""
    if isinstance(named, str):
        return f"It is text. Give the module itself: import {named}, or name it in the setting plugins."
    if not hasattr(named, "__path__"):
        return ""
    return f"It is a package without hooks. Name the module that has them: {named.__name__}.{_nearest_module('plugins', named)}."


def without_hooks(entry_point: EntryPoint, named: Any) -> str:
    """What to do about an entry point that names an object without hooks."""
    if inspect.isclass(named):
        instead = f"{named.__module__.partition('.')[0]}.plugin"
        said = f"It names the class {named.__qualname__}. Name a module with hooks instead{_return(named)}."
    elif inspect.isroutine(named):
        instead = getattr(named, "__module__", None) or entry_point.module
        said = f"It names the function {named.__qualname__}. Name its module instead."
    elif hasattr(named, "__path__"):
        instead = f"{named.__name__}.{_nearest_module('plugin', named)}"
        said = f"It names the package {named.__name__}, which has no hooks. Name the module that has them."
    else:
        return f"{entry_point.value} has no hooks. Mark each function that implements one with @hookimpl (from spark.hooks)."
    return f"{said} {_line(entry_point, instead)}"


def not_there(entry_point: EntryPoint, error: BaseException) -> str:
    """What to do about an entry point that names nothing that there is; empty where its import failed for another reason."""
    module = entry_point.module
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        package, _, name = error.name.rpartition(".")
        instead = f"{package or name}.{_nearest_module(name if package else 'plugin', sys.modules.get(package))}"
        return f"There is no module {error.name}. Name the module that has the hooks. {_line(entry_point, instead)}"
    if isinstance(error, AttributeError) and entry_point.attr and error.obj is sys.modules.get(module):
        return f"{module} has no {error.name}. Name just the module that has the hooks. {_line(entry_point, module)}"
    return ""


def _return(named: type) -> str:
    """What the hook for such a class returns, if it is known which hook that is."""
    parents = {parent.__name__ for parent in named.__mro__ if parent.__module__.startswith("spark.")}
    for hook, spec in PROVIDING.items():
        if spec.base.rpartition(":")[2] in parents:
            target = f"{named.__module__}:{named.__qualname__}"
            return f', whose {hook}() returns [{spec.__name__}(name="…", target="{target}")]'
    return ""


def _nearest_module(name: str, package: Any) -> str:
    inner = [each.name for each in pkgutil.iter_modules(getattr(package, "__path__", ()))]
    return nearest(name, inner) or nearest("plugin", inner) or "plugin"


def _line(entry_point: EntryPoint, module: str) -> str:
    return f'In pyproject.toml: [project.entry-points."{entry_point.group}"] {entry_point.name} = "{module}"'
