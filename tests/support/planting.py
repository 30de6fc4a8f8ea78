"""Modules of ours with a bug planted in them, so that a test can show that it finds it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple


class Bug(NamedTuple):
    """A change of a module's source that makes it wrong."""

    name: str
    module: str
    right: str
    """What stands there once."""
    wrong: str


def planted(modules: Sequence[str], bug: Bug | None = None) -> SimpleNamespace:
    """All names of these modules, executed anew in this order, one of them with the bug. Nobody else gets to see them.

    :param modules: their full names; each may import from those before it.
    """
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    names = SimpleNamespace()
    try:
        for name in modules:
            sys.modules[name] = _executed(name, bug if bug is not None and bug.module == name else None)
            vars(names).update(vars(sys.modules[name]))
    finally:
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(before)
    return names


def source_with(bug: Bug) -> str:
    """The source of its module with the bug.

    :raises AssertionError: what is to be changed does not stand there, or not once.
    """
    return _with_bug(_path_of(bug.module).read_text(), bug)


def plant(bug: Bug) -> None:
    """Have this whole process import the module with the bug, which it must not have imported yet."""
    assert bug.module not in sys.modules, f"{bug.module} was imported before {bug.name} was planted"
    sys.meta_path.insert(0, _Planter(bug))


class _Planter(MetaPathFinder):
    def __init__(self, bug: Bug) -> None:
        self._bug = bug

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != self._bug.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Planted(name, spec.origin, self._bug)
        return spec


class _Planted(SourceFileLoader):
    def __init__(self, name: str, path: str, bug: Bug) -> None:
        super().__init__(name, path)
        self._bug = bug

    def get_code(self, name: str) -> CodeType:
        return compile(_with_bug(Path(self.path).read_text(), self._bug), self.path, "exec")


def _with_bug(source: str, bug: Bug) -> str:
    count = source.count(bug.right)
    assert count == 1, f"{bug.name}: {bug.right!r} stands {count} times in {bug.module}"
    return source.replace(bug.right, bug.wrong)


def _path_of(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def _executed(name: str, bug: Bug | None) -> ModuleType:
    path = _path_of(name)
    source = path.read_text() if bug is None else source_with(bug)
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(source, path, "exec"), vars(module))
    return module
