"""Which names a new plugin can't have, and why: they are spelt in a way that does not do everywhere, or they are taken."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import requires
from importlib.util import find_spec
from typing import Final

from spark.hooks import extras, plugins

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_CORE: Final = "spark-graphs"
_TYPES: Final = {"types", "types of module"}
"""Names that nobody writes who chooses something, so that only bundles of types can't share them."""
_ALSO: Final = {"backend": "URL scheme", "types": "types of module"}
"""Kinds that also have names of another sort."""
_OF_THE_CORE: Final = {"spark", "graph", "graphs", "spark_graphs", "checkpoint", "plugin", "plugins"}


def reason_against(kind: str, name: str, *, package: str) -> str:
    """Why a new plugin of this kind can't have this name, and what to do; empty when it can.

    :param package: the package that it would be imported as.
    """
    return next(
        (f"{name!r} can't be the name of {_one(kind)}: {reason}" for reason in _reasons(kind, name, package)), ""
    )


def _reasons(kind: str, name: str, package: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        better = re.sub(r"[^a-z0-9]+", "" if kind == "backend" else "_", name.lower()).strip("_")
        hint = f": {better}" if _NAME.fullmatch(better) else "."
        yield f"use lower case letters, digits and single underscores between them, a letter first{hint}"
    if kind == "backend" and "_" in name:
        yield f"it is also a URL scheme, which can't hold an underscore: {name.replace('_', '')}"
    another = "Choose another one."
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        yield f"it is a keyword of Python. {another}"
    yield from (f"{owner}. {another}" for owner in _owners(kind, name))
    if name in sys.stdlib_module_names or hasattr(builtins, name):
        yield f"Python itself has it, as a module or a function. {another}"
    if name in _OF_THE_CORE:
        yield f"spark-graphs uses it itself. {another}"
    if find_spec(package) is not None:
        yield f"the package {package} is installed already. Uninstall it, or choose another name."


def _owners(kind: str, name: str) -> Iterator[str]:
    """Who has the name: of this kind, or, of those that spark-graphs itself publishes, of any."""
    for plugin in plugins():
        is_ours = plugin.distribution == _CORE
        if name == plugin.name:
            yield f"the installed {plugin.label} has it"
        for spec in plugin.specs:
            if name in _names(spec.claims(), kind, of_any=is_ours):
                owner = _CORE if is_ours else f"the installed {plugin.label}"
                yield f"{owner} has {_one(spec.kind)} of that name"
    for claim, extra in extras().items():
        if name in _names([claim], kind, of_any=True):
            yield f"{extra.distribution} has it, which {extra.command} installs"
    for requirement in requires(_CORE) or ():
        if name in re.findall(r"extra == ['\"]([\w-]+)['\"]", requirement):
            yield f"it is an extra of spark-graphs: pip install 'spark-graphs[{name}]'"


def _names(claims: Iterable[tuple[str, str]], kind: str, *, of_any: bool) -> set[str]:
    """The names among these that a new plugin of this kind can't have.

    :param of_any: those of other kinds count, too.
    """
    return {name for of, name in claims if of in (kind, _ALSO.get(kind)) or (of_any and of not in _TYPES)}


def _one(kind: str) -> str:
    named = "bundle of types" if kind == "types" else kind
    return f"{'an' if named[0] in 'aeiou' else 'a'} {named}"
