"""Which store does a command work on? The one of ``--url``, or that of the configuration in force."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from spark_cli.exit_codes import refuse
from spark_cli.own_plugins import find_own_plugins

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointBackend

Result = TypeVar("Result")


def wait_for(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the asynchronous part of a command to its end."""
    import asyncio  # a third of what `spark --help` would otherwise take longer than typer itself

    return asyncio.run(work)


@asynccontextmanager
async def opened_store(url: str, *, create: bool = False) -> AsyncIterator[CheckpointBackend]:
    """The chosen store, closed at the end.

    :param create: it is made where there is none. Otherwise the first call raises ``StoreNotFoundError``.
    """
    find_own_plugins()
    store = opened(url, create=create) if url else _configured(create)
    try:
        if not store.persistent:
            refuse(f"{store.name!r} keeps nothing after this command. Name a store that lasts: --url sqlite:///runs.db")
        yield store
    finally:
        await store.close()


def opened(url: str, *, create: bool) -> CheckpointBackend:
    """The store behind a URL or name; what can't be one, or is of a kind that is not installed, is wrong usage."""
    from spark.errors import PluginNotFoundError, SparkError
    from spark.graphs.checkpoint import open_backend
    from spark.hooks import redact

    try:
        return open_backend(url, create=create)
    except PluginNotFoundError as error:
        path = " If it is a file, give its URL, for instance sqlite:///runs.db." if _is_path(url) else ""
        refuse(f"{redact(url)!r} is not a store: {error}{path}")
    except Exception as error:
        if isinstance(error, SparkError) and not isinstance(error, ValueError):
            raise
        refuse(f"{redact(url)!r} is not a store: {error}")


def _is_path(url: str) -> bool:
    return "://" not in url and any(mark in url for mark in "./\\")


def _configured(create: bool) -> CheckpointBackend:
    from spark.graphs.checkpoint import CheckpointConfig

    store = CheckpointConfig.load_backend(create=create)
    if store is None:
        refuse("no store was chosen. Give --url, set SPARK_CHECKPOINT_URL, or set url in spark.toml.")
    return store
