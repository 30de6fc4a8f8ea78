"""The stores that tests about large values run over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spark.graphs.checkpoint import CheckpointBackend
from tests.plugins.support.kinds import store_of


@pytest.fixture(params=["file", "sqlite", "s3"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    """A store of each kind that keeps large values by themselves."""
    async with store_of(request.param, request, tmp_path) as made:
        yield made
