"""From ``module:graph`` to the graph: import it as a program would that is started in the working directory."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from functools import reduce
from typing import TYPE_CHECKING, Any

from spark_cli.exit_codes import refuse

if TYPE_CHECKING:
    from spark.graphs import Graph


def load_graph(target: str, *, graph_id: str = "") -> Graph:
    """The graph that ``module:name`` means, or that the function of this name makes.

    :param graph_id: what the function makes it for.
    """
    from spark.graphs import Graph

    if graph_id:
        graph = load_builder(target, option="--id")(graph_id)
    else:
        found = find_target(target)
        graph = found if isinstance(found, Graph) or not callable(found) else _made(found, target)
    if not isinstance(graph, Graph):
        refuse(f"{target!r} is {type(graph).__name__}, not a graph, and not a function that makes one.")
    return graph


def _made(build: Callable[..., Any], target: str) -> Any:
    try:
        inspect.signature(build).bind()
    except TypeError as error:
        refuse(f"{target!r} can't be called without arguments: {error}. Name a graph, or a function that needs none.")
    except ValueError:  # nobody knows what it takes
        pass
    return build()


def load_builder(target: str, *, option: str) -> Callable[[str], Any]:
    """The function that ``module:name`` means, which makes the graph for a graph id.

    :param option: what needs one.
    """
    build = find_target(target)
    try:
        inspect.signature(build).bind("graph id")
    except (TypeError, ValueError):
        refuse(
            f"{option} needs a function that makes the graph for a graph id, and {target!r} is not one. Write "
            "'def build(graph_id): return Graph(start, id=graph_id)', and name that."
        )
    return build  # type: ignore[no-any-return]


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
