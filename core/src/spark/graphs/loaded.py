"""A class by its name, among the classes that this program has already loaded; nothing is ever imported for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Final, TypeVar

T = TypeVar("T")

MAIN_MODULES: Final = frozenset({"__main__", "__mp_main__"})


def class_name(cls: type) -> str:
    """What stored data calls a class: ``"module:qualname"``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def function_name(function: Callable[..., object]) -> str:
    """What stored data calls a function: ``"module:qualname"``; of an object that is only callable, its class."""
    return f"{function.__module__}:{getattr(function, '__qualname__', type(function).__qualname__)}"


def find_loaded(base: type[T], module: str, qualname: str) -> type[T] | None:
    """The loaded subclass of ``base`` with this module and qualified name, or None.

    A name that the module holds wins, so that an alias keeps an old name working; then the newest definition among the
    subclasses. A script names its classes ``__main__`` when it is run and otherwise when it is imported: where one of
    the two names says so, a qualified name that only one loaded module defines is enough.
    """
    return (
        _held_by_module(base, module, qualname)
        or _newest(base, module=module, qualname=qualname)
        or _across_main(base, module, qualname)
    )


def _held_by_module(base: type[T], module: str, qualname: str) -> type[T] | None:
    found: object = sys.modules.get(module)
    for name in qualname.split("."):
        # vars, not getattr: a module's or metaclass's __getattr__ could import or run something.
        if not isinstance(found, ModuleType | type):
            return None
        found = vars(found).get(name)
    return found if isinstance(found, type) and issubclass(found, base) else None


def _newest(base: type[T], *, module: str, qualname: str) -> type[T] | None:
    found = [cls for cls in _subclasses(base) if cls.__module__ == module and cls.__qualname__ == qualname]
    return found[-1] if found else None


def _across_main(base: type[T], module: str, qualname: str) -> type[T] | None:
    named = [cls for cls in _subclasses(base) if cls.__qualname__ == qualname]
    if module not in MAIN_MODULES:
        named = [cls for cls in named if cls.__module__ in MAIN_MODULES]
    return named[-1] if len({cls.__module__ for cls in named}) == 1 else None


def _subclasses(base: type[T]) -> Iterator[type[T]]:
    pending, seen = [base], {base}
    while pending:
        for cls in type.__subclasses__(pending.pop(0)):
            if cls not in seen:
                seen.add(cls)
                pending.append(cls)
                yield cls
