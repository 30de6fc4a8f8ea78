"""Requests to stop that come from another process: the run looks for them now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spark.graphs.concurrency.grace_period import TO_DRAIN
from spark.graphs.engine.outcome import Drain
from spark.graphs.engine.spec import RunSpec, Services

if TYPE_CHECKING:
    from spark.graphs.checkpoint.derived.drain_requests import DrainRequests

_EVERY: Final = 5.0
"""Seconds between two looks, where the run makes checkpoints: one small read each."""


class RunRequests:
    """Those that one run gets."""

    def __init__(self, spec: RunSpec, services: Services) -> None:
        self._spec = spec
        self._services = services
        self._began = services.clock.utc_now()
        self._requests: DrainRequests | None = None
        self.look_at: float = services.clock.monotonic() + _EVERY
        """When to look at the next checkpoint."""

    async def look(self) -> None:
        """Stop the run at a boundary if somebody has asked for that."""
        services = self._services
        self.look_at = services.clock.monotonic() + _EVERY
        reason = await self._opened().look()
        if reason is not None and services.drain is not None:
            services.drain(Drain(reason, TO_DRAIN))

    def _opened(self) -> DrainRequests:
        if self._requests is None:
            from spark.graphs.checkpoint.derived.drain_requests import DrainRequests  # most runs end before they look

            services, spec = self._services, self._spec
            assert services.backend is not None
            claim = services.lease.id if services.lease is not None else None
            self._requests = DrainRequests(
                services.backend, spec.graph_id, run_id=spec.run_id, claim=claim, began=self._began
            )
        return self._requests
