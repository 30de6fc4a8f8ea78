"""Where nobody watches, nothing of it is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

_RUN = """
import asyncio, sys
from spark.graphs import Graph, node
from spark.graphs.checkpoint import CheckpointConfig

@node
async def work(context):
    await context.emit(1)
    return {}

async def main():
    graph = Graph(work, id='plain', checkpoint_config=CONFIG)
    await graph.run()
    await graph.run(resume='state') if CONFIG else None

asyncio.run(main())
print(*[name for name in sys.modules if name.startswith('spark.graphs.events')])
"""


@pytest.mark.parametrize("config", ["None", "CheckpointConfig(backend='memory://', trigger_on_iteration=1)"])
def test_a_run_loads_nothing_of_events(config: str) -> None:
    code = _RUN.replace("CONFIG", config)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
