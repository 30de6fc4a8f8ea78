"""Which store does a command work on, and which graphs in it? The store of ``--url``, or that of the configuration in force."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from spark_cli.ending import refuse

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointBackend

Url: TypeAlias = Annotated[
    str, typer.Option(help="The store. Without it: SPARK_CHECKPOINT_URL, spark.toml, pyproject.toml.", metavar="URL")
]


def not_a_url(graph_id: str) -> str:
    """The graph id, unless it is a URL, which is wrong usage."""
    if "://" in graph_id:
        from spark.hooks import redact

        raise typer.BadParameter(f"{redact(graph_id)!r} is a URL, not a graph id; name the store with --url.")
    return graph_id


def _no_urls(graph_ids: list[str]) -> list[str]:
    return [not_a_url(graph_id) for graph_id in graph_ids]


OneGraph: TypeAlias = Annotated[
    str, typer.Argument(metavar="[GRAPH_ID]", help="Only of this graph.", show_default=False, callback=not_a_url)
]
Graphs: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="[GRAPH_ID]...", help="Only of these graphs.", show_default=False, callback=_no_urls),
]

Result = TypeVar("Result")


def wait_for(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the asynchronous part of a command to its end."""
    import asyncio  # a third of what `spark --help` would otherwise take longer than typer itself

    return asyncio.run(work)


@asynccontextmanager
async def opened_store(url: str) -> AsyncIterator[CheckpointBackend]:
    """The chosen store, closed at the end."""
    store = opened(url) if url else _configured()
    try:
        yield store
    finally:
        await store.close()


def opened(url: str) -> CheckpointBackend:
    """The store behind a URL or name; a URL that can't be one is wrong usage."""
    from spark.errors import SparkError
    from spark.graphs.checkpoint import open_backend
    from spark.hooks import redact

    try:
        store: CheckpointBackend = open_backend(url)
    except Exception as error:
        if isinstance(error, SparkError) and not isinstance(error, ValueError):
            raise
        refuse(f"{redact(url)!r} is no store: {error}")
    return store


def _configured() -> CheckpointBackend:
    from spark.graphs.checkpoint import CheckpointConfig

    backend = CheckpointConfig.load().backend
    if backend is None:
        refuse("no store was chosen. Give --url, set SPARK_CHECKPOINT_URL, or set url in spark.toml.")
    return opened(backend) if isinstance(backend, str) else backend
