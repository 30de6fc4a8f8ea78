"""Requests to drain a run that come from outside of this process: through the inbox of its graph."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spark.errors import SparkError
from spark.graphs.checkpoint.derived.inbox import DRAIN, Inbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark.graphs.checkpoint.storage.backend import CheckpointBackend

_LOG = logging.getLogger("spark.graphs")


class DrainRequests:
    """Those that are meant for one call of ``run()``.

    :param claim: the id of the claim that it holds, if any.
    :param began: when it began, in UTC: what was sent before is not for it.
    """

    def __init__(
        self, backend: CheckpointBackend, graph_id: str, *, run_id: str, claim: str | None, began: datetime
    ) -> None:
        self._inbox = Inbox(backend, graph_id)
        self._run_id = run_id
        self._claim = claim
        self._began = began
        self._looked_to = 0
        """The highest sequence in the inbox that was looked at."""

    async def look(self) -> str | None:
        """The reason of the first one that has come since the last look. What can't be read now is looked at the next time."""
        try:
            end = await self._inbox.next_sequence()
            if end - 1 <= self._looked_to:
                return None
            found = await self._inbox.about(DRAIN, after=self._looked_to)
        except SparkError as error:
            _LOG.warning("Whether run %r is to be drained could not be read: %s", self._run_id, error)
            return None
        self._looked_to = end - 1
        return next((str(facts.get("why", "")) for facts in found if self._is_meant(facts)), None)

    def _is_meant(self, facts: Mapping[str, Any]) -> bool:
        """Whether a request is for this call, and not for an earlier one of the same run."""
        if facts.get("claim") or self._claim:
            return facts.get("claim") == self._claim
        return facts.get("run_id") == self._run_id and _moment(facts.get("sent")) >= self._began


def _moment(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
