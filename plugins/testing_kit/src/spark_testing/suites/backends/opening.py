"""Opening a store that is not there, to look into it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from spark.errors import StoreNotFoundError
from spark.graphs.checkpoint.storage import CheckpointBackend, CheckpointQuery
from spark_testing.records import make_record
from spark_testing.suites.backends.store import GivenStore, OpenAnother


class Opening(GivenStore):
    """Opening a store that is not there, to look into it."""

    async def test_reading_creates_no_store(self, open_absent: OpenAnother | None) -> None:
        """Whoever mistypes a URL is told so, and finds no new, empty store there afterwards."""
        if open_absent is None:
            return  # the backend does not take create=False
        for name, call in CALLS.items():
            async with open_absent() as backend:
                with pytest.raises(StoreNotFoundError) as raised:
                    await call(backend)
            assert str(raised.value), f"{name} raised StoreNotFoundError without a word about what is missing"


CALLS: Final[dict[str, Callable[[CheckpointBackend], Awaitable[Any]]]] = {
    "list": lambda backend: backend.list(),
    "list of a graph": lambda backend: backend.list("g"),
    "query": lambda backend: backend.query(CheckpointQuery(graph_id="g", limit=1)),
    "graph_ids": lambda backend: backend.graph_ids(),
    "latest_runs": lambda backend: backend.latest_runs(),
    "latest_headers": lambda backend: backend.latest_headers(["g"]),
    "latest": lambda backend: backend.latest("g"),
    "get": lambda backend: backend.get("g", 1),
    "get_latest": lambda backend: backend.get_latest("g"),
    "get_many": lambda backend: backend.get_many("g", range(1, 3)),
    "find": lambda backend: backend.find("ckpt_g_000001"),
    "next_sequence": lambda backend: backend.next_sequence("g"),
    "put": lambda backend: backend.put(make_record("g", 1)),
    "list, once more": lambda backend: backend.list(),
}
"""What is tried, in this order: none of these may make what the next one finds."""
