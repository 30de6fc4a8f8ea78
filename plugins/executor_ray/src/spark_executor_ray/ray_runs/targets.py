"""From ``module:function`` to the graph of a run, in the store that was chosen."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import reduce
from typing import Any

from spark.errors import GraphDefinitionError
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, open_backend


def chosen(url: str | None) -> str | None:
    """The URL that was given, or else that of the environment, which Ray's workers don't have."""
    return url if url is not None else os.environ.get("SPARK_CHECKPOINT_URL") or None


@asynccontextmanager
async def opened_store(url: str | None, *, create: bool = True) -> AsyncIterator[CheckpointBackend]:
    """The store, closed at the end.

    :param url: None: the one that the settings choose.
    :param create: whether it is made where there is none.
    :raises GraphDefinitionError: none is chosen, or it would not outlive this process.
    """
    store = open_backend(url, create=create) if url is not None else CheckpointConfig.load_backend(create=create)
    if store is None:
        raise GraphDefinitionError(
            "No store was chosen. Give url=, for instance 'postgresql://host/runs', set SPARK_CHECKPOINT_URL, or set url in "
            "spark.toml."
        )
    async with store:
        if not store.persistent:
            raise GraphDefinitionError(
                f"The store {store.name!r} is gone with its process, and runs on Ray change theirs. Choose one that all "
                "machines reach: postgresql://host/runs, s3://bucket/runs."
            )
        yield store


def find_builder(target: str) -> Callable[[str], Any]:
    """The function that ``module:function`` means.

    :raises GraphDefinitionError: there is none, or it can't be called with a graph id. What importing its module raises is
        passed on.
    """
    module_name, _, path = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # it is there, and lacks something itself
        raise GraphDefinitionError(
            f"{target!r}: a Ray worker finds no module {error.name!r}. Install it on the machines of the cluster, or send your "
            "code along: runtime_env={'working_dir': '.'}."
        ) from error
    try:
        build: Any = reduce(getattr, path.split("."), module)
    except AttributeError as error:
        raise GraphDefinitionError(f"{target!r} names no function: {error}.") from error
    try:
        inspect.signature(build).bind("graph id")
    except (TypeError, ValueError) as error:
        raise GraphDefinitionError(
            f"{target!r} is not a function that makes the graph for a graph id. Write "
            "'def build(graph_id): return Graph(start, id=graph_id)', and name that."
        ) from error
    return build  # type: ignore[no-any-return]


async def built(
    build: Callable[[str], Any], graph_id: str, *, store: CheckpointBackend, target: str, **changed: Any
) -> Graph:
    """The graph for this id, which makes its checkpoints in the store.

    :param changed: what else its ``CheckpointConfig`` has.
    :raises GraphDefinitionError: the function returned something else. What it raises is passed on.
    """
    made = build(graph_id)
    graph = await made if inspect.isawaitable(made) else made
    if not isinstance(graph, Graph) or graph.graph_id != graph_id:
        raise GraphDefinitionError(
            f"{target!r} returned {graph!r} for {graph_id!r}; return a Graph with this id: Graph(start, id=graph_id)."
        )
    config = graph.checkpoint_config or CheckpointConfig()
    return graph.with_checkpoints(replace(config, backend=store, enabled=True, **changed))
