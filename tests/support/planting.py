"""Modules of ours with a bug planted in them, so that a test can show that it finds it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple


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


def _executed(name: str, bug: Bug | None) -> ModuleType:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    if bug is not None:
        assert source.count(bug.right) == 1, (
            f"{bug.name}: {bug.right!r} stands {source.count(bug.right)} times in {name}"
        )
        source = source.replace(bug.right, bug.wrong)
    module = ModuleType(name)
    module.__file__ = spec.origin
    sys.modules[name] = module
    exec(compile(source, spec.origin, "exec"), vars(module))
    return module
