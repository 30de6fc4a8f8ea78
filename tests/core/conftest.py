"""The stores that tests about large values run over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spark.graphs.checkpoint import CheckpointBackend
from tests.plugins.support.kinds import SELDOM_S3, store_of
from tests.support.variants import first_of


@pytest.fixture(params=[*first_of(["file", "sqlite"]), SELDOM_S3])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    """A store of each kind that keeps large values separately; by default in files, and elsewhere where a test says so."""
    async with store_of(request.param, request, tmp_path) as made:
        yield made
