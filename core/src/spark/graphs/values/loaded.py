"""A class by its name, among the classes that this program has already loaded; nothing is ever imported for it.

Classes are inspected through ``type``, so that no code of theirs or of their metaclasses runs, whatever was stored.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final, TypeVar

T = TypeVar("T")

_STORED_AS: Final = {
    "spark.graphs.definition.nodes": "spark.graphs.nodes",
    "spark.graphs.checkpoint.configuration.config": "spark.graphs.checkpoint.config",
    "spark.graphs.checkpoint.maintenance.verification": "spark.graphs.checkpoint.verification",
    "spark.graphs.checkpoint.policies.retention": "spark.graphs.checkpoint.retention",
    "spark.graphs.checkpoint.policies.boundary": "spark.graphs.checkpoint.triggers",
    "spark.graphs.checkpoint.policies.triggers": "spark.graphs.checkpoint.triggers",
    "spark.graphs.checkpoint.records.blobs": "spark.graphs.checkpoint.blobs",
    "spark.graphs.checkpoint.records.info": "spark.graphs.checkpoint.model",
    "spark.graphs.checkpoint.records.limits": "spark.graphs.checkpoint.limits",
    "spark.graphs.checkpoint.records.query": "spark.graphs.checkpoint.query",
    "spark.graphs.checkpoint.records.record": "spark.graphs.checkpoint.record",
    "spark.graphs.checkpoint.storage.listing": "spark.graphs.checkpoint.listing",
}
"""Our modules that were moved, with the names that stored data uses for them, which never change."""
_MOVED: Final = {stored: module for module, stored in _STORED_AS.items()}

MAIN_MODULES: Final = frozenset({"__main__", "__mp_main__"})

lineage: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
"""A class and all its bases, in the order in which attributes are looked up."""
namespace: Final[Callable[[type], Mapping[str, Any]]] = type.__dict__["__dict__"].__get__
"""What a class itself defines."""
_module_of: Final[Callable[[type], object]] = type.__dict__["__module__"].__get__
_qualname_of: Final[Callable[[type], str]] = type.__dict__["__qualname__"].__get__


def class_name(cls: type) -> str:
    """What stored data calls a class: ``"module:qualname"``."""
    module = str(cls.__module__)
    return f"{_STORED_AS.get(module, module)}:{cls.__qualname__}"


def function_name(function: Callable[..., object]) -> str:
    """What stored data calls a function: ``"module:qualname"``; of an object that is only callable, its class."""
    return f"{function.__module__}:{getattr(function, '__qualname__', type(function).__qualname__)}"


def is_kind_of(cls: type, base: type) -> bool:
    """Whether a class is another one, or derived from it, whatever their metaclasses claim."""
    return any(ancestor is base for ancestor in lineage(cls))


def find_loaded(base: type[T], module: str, qualname: str) -> type[T] | None:
    """The loaded subclass of ``base`` with this module and qualified name, or None.

    A name that the module holds wins, so that an alias keeps an old name working; then the newest definition among the
    subclasses. A script names its classes ``__main__`` when it is run and otherwise when it is imported: where one of
    the two names says so, a qualified name that only one loaded module defines is enough.
    """
    held = held_by_module(module, qualname)
    if held is not None and is_kind_of(held, base):
        return held
    return chosen([cls for cls in subclasses(base) if _qualname_of(cls) == qualname], module)


def held_by_module(module: str, qualname: str) -> type | None:
    """The class that a loaded module holds under this name, if there is one."""
    return _held(module, qualname) or (_held(_MOVED[module], qualname) if module in _MOVED else None)


def _held(module: str, qualname: str) -> type | None:
    found: object = sys.modules.get(module)
    for name in qualname.split("."):
        # Not getattr: a module's or metaclass's __getattr__ could import or run something.
        if issubclass(type(found), type):
            found = namespace(found).get(name)  # type: ignore[arg-type]
        elif issubclass(type(found), ModuleType):
            found = vars(found).get(name)
        else:
            return None
    return found if issubclass(type(found), type) else None  # type: ignore[return-value]


def chosen(named: list[type[T]], module: str) -> type[T] | None:
    """Which of the classes with one qualified name a module's name stands for: the newest, or one across ``__main__``."""
    inside = [cls for cls in named if _module_of(cls) == module]
    if inside:
        return inside[-1]
    if module not in MAIN_MODULES:
        named = [cls for cls in named if _module_of(cls) in MAIN_MODULES]
    return named[-1] if len({str(_module_of(cls)) for cls in named}) == 1 else None


def by_qualname(classes: Iterable[type]) -> dict[str, list[type]]:
    """Classes by their qualified names, in the order given."""
    found: dict[str, list[type]] = {}
    for cls in classes:
        found.setdefault(_qualname_of(cls), []).append(cls)
    return found


def subclasses(base: type[T]) -> Iterator[type[T]]:
    """All loaded classes that are derived from one."""
    pending, seen = [base], {id(base)}
    for cls in pending:
        for child in type.__subclasses__(cls) if cls is not type else ():
            if id(child) not in seen:
                seen.add(id(child))
                pending.append(child)
                yield child
