"""A graph for each request: what the backends of collected graphs held is given back, and nothing complains."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig
from spark_testing.leaks import Held, leaked_since
from tests.plugins.support.s3.servers import S3Server
from tests.support.stand_ins import Count


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/runs"
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server.url(server.new_bucket(), "runs")


async def run_graph(url: str, number: int) -> None:
    config = CheckpointConfig(backend=url, trigger_on_iteration=1)
    await Graph(start=Count(1), id=f"g{number}", checkpoint_config=config).run()


async def test_collected_graphs_leave_nothing_and_complain_of_nothing(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = Held.now()

    for number in range(8):
        await run_graph(url, number)
    gc.collect()

    assert await leaked_since(before) == []
    assert "Unclosed" not in caplog.text
