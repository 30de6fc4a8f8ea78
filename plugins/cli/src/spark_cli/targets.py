"""From ``module:graph`` to the graph: import it as a program would that is started in the working directory."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from functools import reduce
from typing import TYPE_CHECKING, Any

from spark_cli.exit_codes import refuse

if TYPE_CHECKING:
    from spark.graphs import Graph


def load_graph(target: str) -> Graph:
    """The graph that ``module:name`` means, or that the function of this name makes."""
    from spark.graphs import Graph

    found = find_target(target)
    graph = found if isinstance(found, Graph) or not callable(found) else found()
    if not isinstance(graph, Graph):
        refuse(f"{target!r} is {type(graph).__name__}, not a graph, and not a function that makes one.")
    return graph


def find_target(target: str) -> Any:
    """What ``module:name`` means."""
    module_name, colon, path = target.partition(":")
    if not (module_name and colon and path):
        refuse(f"{target!r} is not a graph; write module:name, for instance countdown:graph.")
    module = import_module(module_name)
    try:
        return reduce(getattr, path.split("."), module)
    except AttributeError as error:
        refuse(f"{target!r} is not a graph: {error}.")


def import_module(name: str) -> Any:
    """The module, which may be in the working directory. What importing it raises is passed on."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        known = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        known = None
    if known is None:
        refuse(f"there is no module {name!r} in {os.getcwd()} or among the installed ones.")
    return importlib.import_module(name)


def import_all(names: Iterable[str]) -> None:
    """Import modules for the types that they define."""
    for name in names:
        import_module(name)
