"""What a shell offers after TAB in the place of ids: those of the chosen store, where that takes a moment only, and silently."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import typer

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointManager

Look: TypeAlias = "Callable[[CheckpointManager], Awaitable[list[str]]]"

_MOST: Final = 50
_LONGEST: Final = 5.0
"""Seconds."""
_LOCAL: Final = ("file:", "local:", "sqlite:")


def graph_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Graph ids that begin so."""
    return _found(ctx, lambda manager: manager.graph_ids(incomplete, limit=_MOST))


def checkpoint_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids that begin so, of the newest checkpoints."""

    async def look(manager: CheckpointManager) -> list[str]:
        from spark.graphs.checkpoint.storage import CheckpointQuery

        newest = await manager.listing(CheckpointQuery(limit=_MOST * 10, newest_first=True))
        return [info.checkpoint_id for info in newest.infos if info.checkpoint_id.startswith(incomplete)][:_MOST]

    return _found(ctx, look)


def _found(ctx: typer.Context, look: Look) -> list[str]:
    """What is found, or nothing, whatever goes wrong. Only stores on this machine are looked into: no TAB waits for a server."""
    url = ctx.params.get("url") or os.environ.get("SPARK_CHECKPOINT_URL", "")
    if url and not url.startswith(_LOCAL):
        return []
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(Exception):
        from spark_cli.stores import wait_for

        return wait_for(_look(url, look))
    return []


async def _look(url: str, look: Look) -> list[str]:
    import asyncio

    from spark.graphs.checkpoint import CheckpointManager
    from spark_cli.stores import opened_store

    async with opened_store(url) as store:
        return await asyncio.wait_for(look(CheckpointManager(store)), _LONGEST)
