"""Which names a new plugin can't have, and why: they are spelt in a way that does not do everywhere, or they are taken."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from importlib.util import find_spec
from typing import Final

from spark.hooks import extras, plugins

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_CORE: Final = "spark-graphs"
_OF_THE_CORE: Final = {"spark", "graph", "graphs", "spark_graphs", "checkpoint", "plugin", "plugins"}


def reason_against(kind: str, name: str, *, package: str) -> str:
    """Why a new plugin of this kind can't have this name, and what to do; empty when it can.

    :param package: the package that it would be imported as.
    """
    return next((f"{name!r} can't be the name of a {kind}: {reason}" for reason in _reasons(kind, name, package)), "")


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
    if name in sys.stdlib_module_names or hasattr(builtins, name):
        yield f"Python itself has it, as a module or a function. {another}"
    if name in _OF_THE_CORE:
        yield f"spark-graphs uses it itself. {another}"
    yield from (f"{owner}. {another}" for owner in _owners(kind, name))
    if find_spec(package) is not None:
        yield f"the package {package} is installed already. Uninstall it, or choose another name."


def _owners(kind: str, name: str) -> Iterator[str]:
    """Who has the name: of this kind, or, of those that spark-graphs itself publishes, of any."""
    for plugin in plugins():
        of_any_kind = plugin.distribution == _CORE
        claims = {claimed for claimed in plugin.claims if of_any_kind or claimed[0] in _namespaces(kind)}
        if name == plugin.name or any(name == claimed for _, claimed in claims):
            yield f"the installed {plugin.label} has it"
    for (_, claimed), extra in extras().items():
        if name == claimed:
            yield f"{extra.distribution} has it, which {extra.command} installs"
    for requirement in requires(_CORE) or ():
        if name in re.findall(r"extra == ['\"]([\w-]+)['\"]", requirement):
            yield f"it is an extra of spark-graphs: pip install 'spark-graphs[{name}]'"


def _namespaces(kind: str) -> set[str]:
    return {kind, "URL scheme"} if kind == "backend" else {kind}
