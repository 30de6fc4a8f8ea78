"""Saving a large frame takes little more memory than the frame and its snapshot: measured in processes of their own.

``python -m tests.plugins.types_arrays.test_memory 1024`` measures a frame of 1 GB.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

MODULE = "tests.plugins.types_arrays.test_memory"
SMALL = 64
"""MB of the frame in the default suite."""
MOST = 1.25
"""The peak may be above what the process held before by so many times the frame,"""
BESIDES = 40
"""and so many MB for what is imported meanwhile."""


def url_of(store: str, folder: Path) -> str:
    return f"file://{folder}/files" if store == "files" else f"sqlite:///{folder}/runs.db"


@pytest.mark.parametrize(
    ("store", "layout"),
    [
        ("files", "columns"),
        pytest.param("files", "loose", marks=pytest.mark.thorough),
        pytest.param("sqlite", "rows", marks=pytest.mark.thorough),
    ],
)
def test_a_frame_is_saved_in_little_memory(store: str, layout: str, tmp_path: Path) -> None:
    assert extra_of(url_of(store, tmp_path), layout, SMALL) < MOST * SMALL + BESIDES


def extra_of(url: str, layout: str, size: int) -> float:
    """MB that the peak of a process which saves a frame is above what it held before."""
    command = [sys.executable, "-m", MODULE, "child", url, layout, str(size)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def child(url: str, layout: str, size: int) -> None:
    """Save a frame by a run, and print how many MB more that took at its peak."""
    from spark.graphs import Graph, NodeContext, node
    from spark.graphs.checkpoint import CheckpointConfig, open_backend

    frames: list[Any] = []
    before: list[float] = []

    @node
    async def make(context: NodeContext) -> None:
        frames.append(frame_of(layout, size))
        before.append(resident())
        await context.graph_state.set("frame", frames[0])

    async def run() -> None:
        backend = open_backend(url)
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
        await Graph(make, id="g", checkpoint_config=config).run()
        await backend.close()

    asyncio.run(run())
    print(peak() - before[0])


def frame_of(layout: str, size: int) -> Any:
    """A frame of so many MB in ten columns, made without more memory than that."""
    import numpy as np
    import pandas as pd

    rows, random = size * 2**20 // 80, np.random.default_rng(7)
    if layout == "loose":  # as it is after columns were added one by one
        frame = pd.DataFrame(index=pd.RangeIndex(rows))
        for name in range(10):
            frame[name] = random.random(rows)
        return frame
    values = np.empty((rows, 10), order="C" if layout == "rows" else "F")
    for place in range(10):
        values[:, place] = random.random(rows)
    return pd.DataFrame(values, copy=False)


def peak() -> float:
    """MB in memory at most, since the process runs this program. ``ru_maxrss`` would count what started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def resident() -> float:
    """MB in memory at present."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__" and sys.argv[1] == "child":
    child(sys.argv[2], sys.argv[3], int(sys.argv[4]))
elif __name__ == "__main__":
    for chosen in ("files", "sqlite"):
        for kind in ("columns", "rows", "loose"):
            with tempfile.TemporaryDirectory() as made:
                extra = extra_of(url_of(chosen, Path(made)), kind, int(sys.argv[1]))
            print(f"{chosen:7} {kind:8} {extra:6.0f} MB more")
