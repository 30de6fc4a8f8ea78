"""Workers that are wrong on purpose: a proof that accepts one of them proves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from spark.graphs.checkpoint.derived import claims


def _lets_everybody_in() -> None:
    """Whoever wants to may run a graph."""

    async def take(lease: claims.Lease) -> None:
        lease._held = [0]
        lease.valid_until = float("inf")

    claims.Lease.take = take  # type: ignore[method-assign]


def _does_not_renew() -> None:
    """A claim expires although its owner is there."""

    async def beat(lease: claims.Lease) -> None:
        await asyncio.Event().wait()

    claims.Lease._beat = beat  # type: ignore[method-assign]


def _never_expires() -> None:
    """The runs of a dead worker are lost."""
    claims.Held.is_held = lambda held, now: True  # type: ignore[method-assign]


def _expires_at_once() -> None:
    """A claim is taken over while its owner is there."""

    def is_held(held: Any, now: datetime) -> bool:
        return False

    claims.Held.is_held = is_held  # type: ignore[method-assign]


def _waits_too_long() -> None:
    """The runs of a dead worker wait, although there is room."""
    is_held = claims.Held.is_held

    def was_held(held: claims.Held, now: datetime) -> bool:
        return is_held(held, now - timedelta(seconds=15))

    claims.Held.is_held = was_held  # type: ignore[method-assign]


BUGS: Final[dict[str, Callable[[], None]]] = {
    "nothing": lambda: None,
    "lets everybody in": _lets_everybody_in,
    "does not renew": _does_not_renew,
    "never expires": _never_expires,
    "expires at once": _expires_at_once,
    "waits too long": _waits_too_long,
}
